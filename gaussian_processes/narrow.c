/* How are matrices of a few columns multiplied, and a triangular system solved for them?
 *
 * Compiled, because BLAS copies the whole of a large matrix into an order of its own before it multiplies, whatever the other
 * one's width: here every number of it is fetched once, and used for all columns as it passes.
 */

#include <stddef.h>

#include "processors.h"

/* Columns that one register holds: of AVX2, which `wide_registers` asks for, or of what other processors have. */
#if defined(CLONES) || defined(__AVX__)
#define LANES 4
#else
#define LANES 2
#endif
/* Registers side by side, at most, and rows that are worked on at once: as many sums as keep the processor busy, four rows of
 * two or three registers, eight of one. */
#define PARTS 3
#define ROWS 8
/* Numbers of a line of the cache. */
#define LINE 8

typedef double lanes __attribute__((vector_size(LANES * sizeof(double)), aligned(sizeof(double))));

/* The three matrices of a product, row by row: c of `columns` columns, a of `width`, its rows `stride` numbers apart, and b. */
struct matrices {
    double *c;
    const double *a, *b;
    size_t rows, width, stride, columns;
};

/* Take a b from some rows of c, `height` at most, and `parts` registers of columns; if `triangle`, divide by a's diagonal.
 *
 * Inlined where the last three are constants, so that the sums stay in registers.
 */
static inline __attribute__((always_inline)) void tile(
    const struct matrices *m, size_t first, size_t column, int height, int parts, int triangle)
{
    size_t rows = m->rows - first < (size_t)height ? m->rows - first : (size_t)height;
    size_t known = rows < (size_t)height ? 0 : triangle ? first : m->width;
    lanes sum[ROWS][PARTS] = {0};
    const double *a = m->a + first * m->stride, *b = m->b + column;
    double *c = m->c + first * m->columns + column;
    for (size_t j = 0; j < known; j++) {
        const lanes *factor = (const lanes *)(b + j * m->columns);
        /* The processor foresees how a row goes on, but not where others begin. Past the end this reads nothing. */
        if (j % LINE == 0)
            for (int i = 0; i < height; i++)
                __builtin_prefetch(a + (i + ROWS) * m->stride + j);
        for (int i = 0; i < height; i++)
            for (int part = 0; part < parts; part++)
                sum[i][part] += a[i * m->stride + j] * factor[part];
    }
    for (size_t i = 0; i < rows; i++, a += m->stride, c += m->columns) {
        size_t end = triangle ? first + i : m->width;
        for (size_t j = known; j < end; j++)
            for (int part = 0; part < parts; part++)
                sum[i][part] += a[j] * ((const lanes *)(b + j * m->columns))[part];
        for (int part = 0; part < parts; part++) {
            lanes *mine = (lanes *)c + part;
            *mine -= sum[i][part];
            if (triangle)
                *mine /= a[end];
        }
    }
}

/* Do all rows and columns: `ROWS` rows of `a`, while they are in the cache, with all columns. */
static inline __attribute__((always_inline)) void tiles(const struct matrices *m, int triangle)
{
    for (size_t first = 0; first < m->rows; first += ROWS) {
        size_t half = first + ROWS / 2;
        for (size_t column = 0, parts; column < m->columns; column += parts * LANES) {
            parts = (m->columns - column) / LANES;
            if (parts == 1) {
                tile(m, first, column, ROWS, 1, triangle);
                continue;
            }
            parts = parts == 2 || parts == 4 ? 2 : PARTS;
            for (size_t row = first; row <= half && row < m->rows; row += ROWS / 2)
                if (parts == 2)
                    tile(m, row, column, ROWS / 2, 2, triangle);
                else
                    tile(m, row, column, ROWS / 2, PARTS, triangle);
        }
    }
}

/* Make c into c - a b.
 *
 * `c` has `rows` times `columns` numbers, row by row, and `b` `width` times `columns`; the rows of `a` begin `stride` numbers
 * apart. `columns` is a multiple of 4.
 */
EACH_PROCESSOR void subtract_product(
    double *c, const double *a, const double *b, size_t rows, size_t width, size_t stride, size_t columns)
{
    tiles(&(struct matrices){c, a, b, rows, width, stride, columns}, 0);
}

/* Make c into inv(a) c, for a lower triangle `a` of `rows` rows. */
EACH_PROCESSOR void solve_triangular(double *c, const double *a, size_t rows, size_t stride, size_t columns)
{
    tiles(&(struct matrices){c, a, c, rows, rows, stride, columns}, 1);
}

/* Whether the registers of this processor are as wide as `LANES`: in memory the sums would take ten times as long. */
int wide_registers(void)
{
#ifdef CLONES
    return __builtin_cpu_supports("avx2");
#else
    return 1;
#endif
}
