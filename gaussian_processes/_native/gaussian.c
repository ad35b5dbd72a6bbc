/* Gaussians exp(-γ r²/2) of the distance of many pairs of points, from their cosine distances and norms.
 *
 * Compiled, because the exponential of a C library is a call for each number; here the compiler does several at once.
 */

#include <stdint.h>

#include "dispatch.h"
#include "routines.h"

static const double INVERSE_LOG_2 = 1.44269504088896340736;
/* log 2 in two parts. The first ends with 21 zeros, so that its product with a whole number of as many bits is exact. */
static const double LOG_2_HIGH = 6.93147180369123816490e-01, LOG_2_LOW = 1.90821492927058770002e-10;
/* 1.5 × 2^52: added to a number it leaves no room for a fraction, so that the last bits are the nearest whole number. */
static const double ROUNDER = 6755399441055744.0;
/* Below, the exponential is less than 1e-304 and given as 0: its products would leave the range in which processors are fast. */
static const double LOWEST = -700;
/* 1/k!, from that of 13 down to that of 2: to |x| ≤ log(2)/2 the terms left out are 4e-18 of the sum. */
static const double TAYLOR[] = {
    1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
    1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 1.0 / 2,
};
enum { TERMS = sizeof TAYLOR / sizeof *TAYLOR };

/* exp(x) for x from -∞ to 0: 2^n exp(x - n log 2), with n the nearest whole number to x/log 2. */
static inline double exponential(double x)
{
    union {
        double number;
        uint64_t bits;
    } power, result;
    double bounded = x < LOWEST ? LOWEST : x, sum = 0;
    power.number = bounded * INVERSE_LOG_2 + ROUNDER;
    double n = power.number - ROUNDER, rest = bounded - n * LOG_2_HIGH - n * LOG_2_LOW;
#pragma GCC unroll 12
    for (int k = 0; k < TERMS; k++)
        sum = sum * rest + TAYLOR[k];
    result.number = 1 + (rest + rest * rest * sum);
    /* The exponent of a double stands 52 bits from the right. */
    result.bits += power.bits << 52;
    return x < LOWEST ? 0 : result.number;
}

/* Write exp(-γ r²/2), where r² = (|a| - |b|)² + 2 |a| |b| (1 - cos θ). */
EACH_PROCESSOR static void gaussian(double *value, const double *cosine_distance, const double *norms_a, const double *norms_b,
    size_t rows, size_t columns, double gamma)
{
    for (size_t row = 0; row < rows; row++, value += columns, cosine_distance += columns) {
        double norm = norms_a[row], factor = -gamma / 2, twice = 2 * norm;
        for (size_t column = 0; column < columns; column++) {
            double difference = norm - norms_b[column];
            double square = difference * difference + twice * norms_b[column] * cosine_distance[column];
            value[column] = exponential(factor * square);
        }
    }
}

/* The clones are static, because no visibility hides what chooses among them. */

void gp_gaussian(double *value, const double *cosine_distance, const double *norms_a, const double *norms_b, size_t rows,
    size_t columns, double gamma)
{
    gaussian(value, cosine_distance, norms_a, norms_b, rows, columns, gamma);
}
