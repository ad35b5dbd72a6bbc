/* The compiled routines, as _routines.pyx calls them and tests/_native/sanitized.c drives them.
 *
 * None of them checks its arguments: that is the binding's work. Matrices are row by row, and
 * contiguous unless there is a stride. Every routine is a function of its own, so that others can
 * stand beside these.
 */

#ifndef GP_ROUTINES_H
#define GP_ROUTINES_H

#include <stddef.h>

/* Of arc_cosine.c. */
void gp_arc_cosine(double *cosine_distance, size_t size, int q, int l);
void gp_arc_cosine_derivative(double *cosine_distance, size_t size, int q, int l);
void gp_arc_cosine_and_derivative(
    double *cosine_distance, double *derivative, size_t size, int q, int l);
void gp_half_sqdist(double *products, const double *half_sqnorms_a, const double *half_sqnorms_b,
    const double *a, const double *b, size_t rows, size_t columns, size_t width,
    double cancellation_threshold, double duplicate_tolerance);

/* Of gaussian.c. */
void gp_gaussian(double *value, const double *cosine_distance, const double *norms_a, const double *norms_b, size_t rows,
    size_t columns, double gamma);

/* Of skinny.c. */
int gp_simd_width(void);
void gp_skinny_gemm_update(double *c, const double *a, const double *b, size_t rows, size_t width,
    size_t stride, size_t columns, int simd_width);
void gp_skinny_solve_triangular(
    double *c, const double *a, size_t rows, size_t stride, size_t columns, int simd_width);
void gp_skinny_solve_lower(double *c, const double *const *panels, size_t rows, size_t width,
    size_t columns, int simd_width);

#endif
