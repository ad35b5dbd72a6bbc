/* Dispatch by processor: functions are compiled once for each kind, of which the one at hand is
 * taken when the program starts.
 *
 * Older compilers can't, and get the plain kind.
 */

#include <limits.h> /* from it the compiler knows the C library, which has to be glibc */

#if defined(__x86_64__) && defined(__GLIBC__) && (__GNUC__ >= 12 || __clang_major__ >= 18)
#define CLONES
#define EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EACH_PROCESSOR
#endif
