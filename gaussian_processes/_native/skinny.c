/* Products and triangular solves with skinny right-hand sides: matrices of a few columns.
 *
 * Compiled, because BLAS copies the whole of a large matrix into an order of its own before it
 * multiplies, whatever the other one's width: here every number of it is fetched once, and used for
 * all columns as it passes.
 */

#include "dispatch.h"
#include "routines.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
/* Registers side by side of the microkernel, at most, and its rows where there is one register. */
#define NR 3
#define ROW_BLOCK 8
/* Rows that are worked on at once for a single column: two took a fifth longer, and eight no less.
 */
#define ROWS_OF_ONE 4
/* Numbers of a line of the cache. */
#define LINE 8

/* The three matrices of a product, row by row: c of `columns` columns, a of `width`, its rows
 * `stride` numbers apart, and b. */
struct matrices {
    double *c;
    const double *a, *b;
    size_t rows, width, stride, columns;
};

/* AVX-512 has thirty-two registers of eight numbers, AVX2 sixteen of four; every processor has some
 * of two. */
#ifdef CLONES
#define LANES 8
#define MR ROW_BLOCK
#define COMPILED __attribute__((target("arch=x86-64-v4")))
#define NAMED(name) name##_of_8
#include "microkernel.h"

#define LANES 4
#define MR (ROW_BLOCK / 2)
#define COMPILED __attribute__((target("arch=x86-64-v3")))
#define NAMED(name) name##_of_4
#include "microkernel.h"
#endif

#define LANES 2
#define MR (ROW_BLOCK / 2)
#define COMPILED
#define NAMED(name) name##_of_2
#include "microkernel.h"

/* Numbers of the widest register of this processor. */
int gp_simd_width(void)
{
#ifdef CLONES
    if (__builtin_cpu_supports("x86-64-v4"))
        return 8;
    if (__builtin_cpu_supports("x86-64-v3"))
        return 4;
#endif
    return 2;
}

/* Compute a product, or, if `triangle`, a solution, in registers of `simd_width` numbers. */
static void run(const struct matrices *m, int triangle, int simd_width)
{
#ifdef CLONES
    if (simd_width == 8) {
        run_of_8(m, triangle);
        return;
    }
    if (simd_width == 4) {
        run_of_4(m, triangle);
        return;
    }
#endif
    (void)simd_width;
    run_of_2(m, triangle);
}

/* Make c into c - a b.
 *
 * `c` has `rows` times `columns` numbers, row by row, and `b` `width` times `columns`; the rows of
 * `a` begin `stride` numbers apart. `columns` is 1, or a multiple of `simd_width`, which is 2, 4 or
 * 8 and at most `gp_simd_width`.
 */
void gp_skinny_gemm_update(double *c, const double *a, const double *b, size_t rows, size_t width,
    size_t stride, size_t columns, int simd_width)
{
    run(&(struct matrices){c, a, b, rows, width, stride, columns}, 0, simd_width);
}

/* Make c into inv(a) c, for a lower triangle `a` of `rows` rows. */
void gp_skinny_solve_triangular(
    double *c, const double *a, size_t rows, size_t stride, size_t columns, int simd_width)
{
    run(&(struct matrices){c, a, c, rows, rows, stride, columns}, 1, simd_width);
}

/* Make c into inv(L) c, for a lower triangle L in panels: each holds `width` columns, and of them
 * the rows from the diagonal down. */
void gp_skinny_solve_lower(double *c, const double *const *panels, size_t rows, size_t width,
    size_t columns, int simd_width)
{
    for (; rows > 0; panels++) {
        size_t top = rows < width ? rows : width;
        double *rest = c + top * columns;
        gp_skinny_solve_triangular(c, *panels, top, top, columns, simd_width);
        gp_skinny_gemm_update(
            rest, *panels + top * top, c, rows - top, top, top, columns, simd_width);
        c = rest;
        rows -= top;
    }
}
