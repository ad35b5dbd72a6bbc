/* Arc-cosine kernels of many pairs of points, and their derivatives (Cho & Saul 2009).
 *
 * Compiled, because NumPy makes every operation a pass over memory; here a block of pairs stays in
 * the nearest cache from the cosine distance 1 - cos θ to the kernel, and the compiler does several
 * pairs at once. gp/kernels.py says what is computed.
 */

#include <math.h>
#include <string.h>

#include "dispatch.h"
#include "routines.h"

/* Pairs to a block: an array of them has 512 bytes. */
#define BLOCK 64

static const double INVERSE_PI = 0.31830988618379067154;
/* θ/π = √m A(m) and 1 - k_1 = m - m √m B(m), where m = 1 - cos θ is at most 1: polynomials,
 * coefficients from that of 1 on. They interpolate A and B, which have no singularity nearer than m
 * = 2, at the Chebyshev nodes of [0, 1], within 8e-17 of either. */
static const double A[] = {0.45015815807855303, 0.03751317983988008, 0.00844046546388464,
    0.0025120432974823598, 0.0008547923809992142, 0.0003147212278025862, 0.0001220302122001055,
    4.9303473932375846e-05, 1.9218498609603548e-05, 1.3268934867512014e-05, -1.1568855652224852e-05,
    3.977513565698344e-05, -7.298844485644686e-05, 0.00010999004147684668, -0.0001246230275504505,
    0.00010671701100644761, -6.641961767728451e-05, 2.8591608060074715e-05, -7.622411903950459e-06,
    9.671532284861643e-07};
static const double B[] = {0.30010543871903533, 0.015005271935952597, 0.0024115615610460976,
    0.0005582318466287261, 0.0001554167357869515, 4.841945348910864e-05, 1.6263806339262657e-05,
    5.84070847629788e-06, 1.857888431389364e-06, 1.7398143778622169e-06, -1.9457839673763177e-06,
    4.3081759394265986e-06, -5.713317168339133e-06, 5.894828158021196e-06, -4.290219170809671e-06,
    2.153383299693181e-06, -6.609434495385855e-07, 9.759058594307168e-08};
#define AT(polynomial, x) value(polynomial, sizeof polynomial / sizeof *polynomial, x)

/* Value of a polynomial with an even number of coefficients. Odd powers are summed beside even
 * ones, so that neither waits. */
static inline double value(const double *coefficients, int count, double x)
{
    double even = 0, odd = 0, square = x * x;
#pragma GCC unroll 16
    for (int k = count - 2; k >= 0; k -= 2) {
        even = even * square + coefficients[k];
        odd = odd * square + coefficients[k + 1];
    }
    return even + odd * x;
}

/* 1 - k_0 = θ/π, from the cosine distance. Beyond the right angle the polynomial has the angle that
 * is missing to π. */
static inline double degree_0(double distance)
{
    double opposite = 2 - distance, m = distance < opposite ? distance : opposite;
    double turns = sqrt(m) * AT(A, m);
    return distance < opposite ? turns : 1 - turns;
}

/* 1 - k_1, from the cosine distance. Beyond the right angle k_1(t) = k_1(-t) + t, and t = 1 -
 * distance is (m - distance)/2. */
static inline double degree_1(double distance)
{
    double opposite = 2 - distance, m = distance < opposite ? distance : opposite;
    return m - m * sqrt(m) * AT(B, m) + (distance - m) / 2;
}

/* Make 1 - t into 1 - k_q(t), and leave 1 - k_{q-1}(t) in `previous`, which may be NULL if q is
 * less than 2, and has to be if it is 0.
 *
 * k_0 = 1 - θ/π;  k_1 = t k_0 + sin θ/π;  k_{p+1} = t k_p + p²/((2p-1)(2p+1)) (1-t²) k_{p-1}, which
 * follow from the definition J_p(θ) = (-1)^p (sin θ)^{2p+1} (1/sin θ ∂/∂θ)^p ((π-θ)/sin θ), with
 * k_p = J_p(θ)/J_p(0): Cho & Saul, eq. (4).
 */
static inline void layer(int q, double *distance, double *previous)
{
    if (!previous) {
        if (q == 0)
            for (int i = 0; i < BLOCK; i++)
                distance[i] = degree_0(distance[i]);
        else
            for (int i = 0; i < BLOCK; i++)
                distance[i] = degree_1(distance[i]);
        return;
    }
    double current[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        previous[i] = degree_0(distance[i]);
        current[i] = degree_1(distance[i]);
    }
    for (int p = 1; p < q; p++) {
        double factor = (double)p * p / ((2.0 * p - 1) * (2.0 * p + 1));
        for (int i = 0; i < BLOCK; i++) {
            double last = factor * distance[i] * (2 - distance[i]) * (1 - previous[i]);
            double next = (1 - distance[i]) * current[i] + distance[i] - last;
            previous[i] = current[i];
            current[i] = next;
        }
    }
    for (int i = 0; i < BLOCK; i++)
        distance[i] = current[i] < 0 ? 0 : current[i] > 1 ? 1 : current[i];
}

/* Make cosine distances into kernels k_{q,l}, in place. */
EACH_PROCESSOR static void arc_cosine(double *cosine_distance, size_t size, int q, int l)
{
    /* The last block is filled up, so that a value does not depend on where it stands. */
    double block[BLOCK] = {0}, previous[BLOCK];
    for (size_t start = 0; start < size; start += BLOCK) {
        size_t count = size - start < BLOCK ? size - start : BLOCK;
        memcpy(block, cosine_distance + start, count * sizeof *block);
        for (int i = 0; i <= l; i++)
            layer(q, block, q < 2 ? NULL : previous);
        for (size_t i = 0; i < count; i++)
            cosine_distance[start + i] = 1 - block[i];
    }
}

/* Multiply derivatives by those of one layer, q²/(2q-1) k_{q-1} or 1/(π sin θ), and apply that
 * layer. */
static inline void derivative_and_layer(
    int q, double *distance, double *previous, double *derivative)
{
    if (q == 0) {
        for (int i = 0; i < BLOCK; i++) {
            double sine = sqrt(distance[i] * (2 - distance[i]));
            derivative[i] *= sine > 0 ? INVERSE_PI / sine : 0;
        }
        layer(q, distance, NULL);
        return;
    }
    double factor = q * (double)q / (2.0 * q - 1);
    layer(q, distance, previous);
    for (int i = 0; i < BLOCK; i++)
        derivative[i] *= factor * (1 - previous[i]);
}

/* Make cosine distances into derivatives of the kernel in t, in place: those of all layers
 * multiplied. */
EACH_PROCESSOR static void arc_cosine_derivative(double *cosine_distance, size_t size, int q, int l)
{
    double block[BLOCK] = {0}, previous[BLOCK], derivative[BLOCK];
    for (size_t start = 0; start < size; start += BLOCK) {
        size_t count = size - start < BLOCK ? size - start : BLOCK;
        memcpy(block, cosine_distance + start, count * sizeof *block);
        for (int i = 0; i < BLOCK; i++)
            derivative[i] = 1;
        for (int i = 0; i <= l; i++)
            derivative_and_layer(q, block, previous, derivative);
        memcpy(cosine_distance + start, derivative, count * sizeof *block);
    }
}

/* Make cosine distances into kernels, in place, and write their derivatives in t, in one pass. */
EACH_PROCESSOR static void arc_cosine_and_derivative(
    double *cosine_distance, double *derivative, size_t size, int q, int l)
{
    double block[BLOCK] = {0}, previous[BLOCK], slope[BLOCK];
    for (size_t start = 0; start < size; start += BLOCK) {
        size_t count = size - start < BLOCK ? size - start : BLOCK;
        memcpy(block, cosine_distance + start, count * sizeof *block);
        for (int i = 0; i < BLOCK; i++)
            slope[i] = 1;
        for (int i = 0; i <= l; i++)
            derivative_and_layer(q, block, previous, slope);
        for (size_t i = 0; i < count; i++)
            cosine_distance[start + i] = 1 - block[i];
        memcpy(derivative + start, slope, count * sizeof *slope);
    }
}

/* Half the squared distance of two rows of `width` numbers. */
static inline double exact_half_sqdist(const double *a, const double *b, size_t width)
{
    double sum = 0;
    for (size_t i = 0; i < width; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum / 2;
}

/* Make products a b' into half the squared distances |a|²/2 + |b|²/2 - a b', between 0 and 2, in
 * place.
 *
 * `products` has `rows` times `columns` numbers; `half_sqnorms_a` has |a|²/2 of every row,
 * `half_sqnorms_b` |b|²/2 of every column. A distance below `cancellation_threshold` times |a|²/2
 * is taken from a - b, of `width` numbers; if it is at most `duplicate_tolerance` it is 0.
 */
EACH_PROCESSOR static void half_sqdist(double *products, const double *half_sqnorms_a,
    const double *half_sqnorms_b, const double *a, const double *b, size_t rows, size_t columns,
    size_t width, double cancellation_threshold, double duplicate_tolerance)
{
    for (size_t row = 0; row < rows; row++, products += columns) {
        double half = half_sqnorms_a[row], bound = cancellation_threshold * half;
        size_t near = 0;
        for (size_t column = 0; column < columns; column++) {
            double distance = half + half_sqnorms_b[column] - products[column];
            distance = distance < 0 ? 0 : distance > 2 ? 2 : distance;
            near += distance < bound;
            products[column] = distance;
        }
        for (size_t column = 0; near > 0 && column < columns; column++) {
            if (!(products[column] < bound))
                continue;
            double exact = exact_half_sqdist(a + row * width, b + column * width, width);
            products[column] = exact > duplicate_tolerance ? exact : 0;
            near--;
        }
    }
}

/* The clones are static, because no visibility hides what chooses among them. */

void gp_arc_cosine(double *cosine_distance, size_t size, int q, int l)
{
    arc_cosine(cosine_distance, size, q, l);
}

void gp_arc_cosine_derivative(double *cosine_distance, size_t size, int q, int l)
{
    arc_cosine_derivative(cosine_distance, size, q, l);
}

void gp_arc_cosine_and_derivative(
    double *cosine_distance, double *derivative, size_t size, int q, int l)
{
    arc_cosine_and_derivative(cosine_distance, derivative, size, q, l);
}

void gp_half_sqdist(double *products, const double *half_sqnorms_a, const double *half_sqnorms_b,
    const double *a, const double *b, size_t rows, size_t columns, size_t width,
    double cancellation_threshold, double duplicate_tolerance)
{
    half_sqdist(products, half_sqnorms_a, half_sqnorms_b, a, b, rows, columns, width,
        cancellation_threshold, duplicate_tolerance);
}
