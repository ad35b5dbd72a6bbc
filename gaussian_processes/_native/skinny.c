/* How are matrices of a few columns multiplied, and a triangular system solved for them?
 *
 * Compiled, because BLAS copies the whole of a large matrix into an order of its own before it multiplies, whatever the other
 * one's width: here every number of it is fetched once, and used for all columns as it passes.
 */

#include <stddef.h>

#include "dispatch.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
/* Registers side by side, at most, and rows that are worked on at once where there is one register. */
#define PARTS 3
#define ROWS 8
/* Rows that are worked on at once for a column alone: with two took a fifth longer, and eight no less. */
#define ROWS_OF_ONE 4
/* Numbers of a line of the cache. */
#define LINE 8

/* The three matrices of a product, row by row: c of `columns` columns, a of `width`, its rows `stride` numbers apart, and b. */
struct matrices {
    double *c;
    const double *a, *b;
    size_t rows, width, stride, columns;
};

/* AVX-512 has thirty-two registers of eight numbers, AVX2 sixteen of four; every processor has some of two. */
#ifdef CLONES
#define LANES 8
#define TALL ROWS
#define COMPILED __attribute__((target("arch=x86-64-v4")))
#define NAMED(name) name##_of_8
#include "microkernel.h"

#define LANES 4
#define TALL (ROWS / 2)
#define COMPILED __attribute__((target("arch=x86-64-v3")))
#define NAMED(name) name##_of_4
#include "microkernel.h"
#endif

#define LANES 2
#define TALL (ROWS / 2)
#define COMPILED
#define NAMED(name) name##_of_2
#include "microkernel.h"

/* Numbers of the widest register of this processor. */
int register_numbers(void)
{
#ifdef CLONES
    if (__builtin_cpu_supports("x86-64-v4"))
        return 8;
    if (__builtin_cpu_supports("x86-64-v3"))
        return 4;
#endif
    return 2;
}

/* Compute a product, or, if `triangle`, a solution, in registers of so many numbers. */
static void run(const struct matrices *m, int triangle, int numbers)
{
#ifdef CLONES
    if (numbers == 8) {
        run_of_8(m, triangle);
        return;
    }
    if (numbers == 4) {
        run_of_4(m, triangle);
        return;
    }
#endif
    (void)numbers;
    run_of_2(m, triangle);
}

/* Make c into c - a b.
 *
 * `c` has `rows` times `columns` numbers, row by row, and `b` `width` times `columns`; the rows of `a` begin `stride` numbers
 * apart. `columns` is 1, or a multiple of `numbers`: those of a register, `register_numbers` at most.
 */
void gemm_update(
    double *c, const double *a, const double *b, size_t rows, size_t width, size_t stride, size_t columns, int numbers)
{
    run(&(struct matrices){c, a, b, rows, width, stride, columns}, 0, numbers);
}

/* Make c into inv(a) c, for a lower triangle `a` of `rows` rows. */
void solve_triangular(double *c, const double *a, size_t rows, size_t stride, size_t columns, int numbers)
{
    run(&(struct matrices){c, a, c, rows, rows, stride, columns}, 1, numbers);
}

/* Make c into inv(L) c, for a lower triangle L in panels: each holds `width` columns, and of them the rows from the diagonal down. */
void solve_lower(double *c, const double *const *panels, size_t rows, size_t width, size_t columns, int numbers)
{
    for (; rows > 0; panels++) {
        size_t top = rows < width ? rows : width;
        double *rest = c + top * columns;
        solve_triangular(c, *panels, top, top, columns, numbers);
        gemm_update(rest, *panels + top * top, c, rows - top, top, top, columns, numbers);
        c = rest;
        rows -= top;
    }
}
