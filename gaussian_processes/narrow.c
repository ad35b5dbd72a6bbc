/* How are matrices of a few columns multiplied, and a triangular system solved for them?
 *
 * Compiled, because BLAS copies the whole of a large matrix into an order of its own before it multiplies, whatever the other
 * one's width: here every number of it is fetched once, and used for all columns as it passes.
 */

#include <stddef.h>

#include "processors.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
/* Registers side by side, at most, and rows that are worked on at once where there is one register, or half of them. */
#define PARTS 3
#define ROWS 8
#define HALF 4
/* Sums of a column alone: each takes four times as long as the processor needs to begin it, and two are begun at once. */
#define SUMS 8
/* Numbers of a line of the cache. */
#define LINE 8

/* The three matrices of a product, row by row: c of `columns` columns, a of `width`, its rows `stride` numbers apart, and b. */
struct matrices {
    double *c;
    const double *a, *b;
    size_t rows, width, stride, columns;
};

/* AVX-512 has thirty-two registers of eight numbers, AVX2 sixteen of four; others have some of two. */
#ifdef CLONES
#define LANES 8
#define TALL ROWS
#define COMPILED __attribute__((target("arch=x86-64-v4")))
#define NAMED(name) name##_of_8
#include "tiles.h"
#endif

#if defined(CLONES) || defined(__AVX__)
#define LANES 4
#else
#define LANES 2
#endif
#define TALL HALF
#define COMPILED EACH_PROCESSOR
#define NAMED(name) name##_of_others
enum { OTHERS = LANES };
#include "tiles.h"

/* Numbers of a register, and what computes with such registers; if `triangle`, a solution, and else a product. */
struct kind {
    int numbers;
    void (*run)(const struct matrices *, int triangle);
};

/* The kind that this processor has. */
static struct kind kind(void)
{
#ifdef CLONES
    if (__builtin_cpu_supports("x86-64-v4"))
        return (struct kind){8, run_of_8};
#endif
    return (struct kind){OTHERS, run_of_others};
}

int register_numbers(void)
{
    return kind().numbers;
}

/* Make c into c - a b.
 *
 * `c` has `rows` times `columns` numbers, row by row, and `b` `width` times `columns`; the rows of `a` begin `stride` numbers
 * apart. `columns` is 1, or a multiple of `register_numbers`.
 */
void subtract_product(
    double *c, const double *a, const double *b, size_t rows, size_t width, size_t stride, size_t columns)
{
    kind().run(&(struct matrices){c, a, b, rows, width, stride, columns}, 0);
}

/* Make c into inv(a) c, for a lower triangle `a` of `rows` rows. */
void solve_triangular(double *c, const double *a, size_t rows, size_t stride, size_t columns)
{
    kind().run(&(struct matrices){c, a, c, rows, rows, stride, columns}, 1);
}
