/* What are the kernels of many pairs of points, and their slopes?
 *
 * Compiled, because NumPy makes every operation a pass over memory; here a block of pairs stays in the nearest cache from the
 * gap to the kernel, and the compiler does several pairs at once. kernels.py says what is computed, and why.
 */

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "processors.h"

/* Pairs to a block: an array of them has 512 bytes. */
#define BLOCK 64

static const double INVERSE_PI = 0.31830988618379067154;
/* Tangent of π/8, below which `half_turns` takes the arctangent as it is. */
static const double TANGENT = 0.41421356237309504880;

/* Angle over π, from its sine, at least 0, and its cosine, within some 2 roundings. */
static inline double half_turns(double sine, double cosine)
{
    double length = fabs(cosine);
    int steep = sine > length;
    double opposite = steep ? length : sine, adjacent = steep ? sine : length;
    /* atan x = π/4 + atan((x-1)/(x+1)) */
    int wide = opposite > TANGENT * adjacent;
    double x = (wide ? opposite - adjacent : opposite) / (wide ? opposite + adjacent : adjacent);
    /* Interpolates (atan x / x - 1) / x² in x² at the Chebyshev nodes of [0, tan² π/8]; 5e-18 from it, times x², at most. */
    double z = x * x;
    double series = -0.019176887119062258989;
    series = series * z + 0.039231658295587191303;
    series = series * z - 0.050854497379402598613;
    series = series * z + 0.058581489128022098816;
    series = series * z - 0.066645114473819480001;
    series = series * z + 0.076921831908260865637;
    series = series * z - 0.090909045781239018905;
    series = series * z + 0.11111111015256361727;
    series = series * z - 0.14285714284666542922;
    series = series * z + 0.19999999999995520678;
    series = series * z - 0.3333333333333333016;
    double turns = (x + x * z * series) * INVERSE_PI + (wide ? 0.25 : 0.0);
    turns = steep ? 0.5 - turns : turns;
    return cosine < 0 ? 1 - turns : turns;
}

/* Make 1 - t into 1 - k_q(t); leaves sin θ, and 1 - k_{q-1}(t) where q is not 0.
 *
 * k_0 = 1 - θ/π;  k_1 = t k_0 + sin θ/π;  k_{p+1} = t k_p + p²/((2p-1)(2p+1)) (1-t²) k_{p-1}, which follow from the
 * definition J_p(θ) = (-1)^p (sin θ)^{2p+1} (1/sin θ ∂/∂θ)^p ((π-θ)/sin θ), with k_p = J_p(θ)/J_p(0): Cho & Saul, eq. (4).
 */
static inline void level(int q, double *gap, double *sine, double *before)
{
    double current[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        double cosine = 1 - gap[i];
        sine[i] = sqrt(gap[i] * (2 - gap[i]));
        before[i] = half_turns(sine[i], cosine);
        current[i] = cosine * before[i] + gap[i] - INVERSE_PI * sine[i];
    }
    if (q == 0) {
        memcpy(gap, before, sizeof current);
        return;
    }
    for (int p = 1; p < q; p++) {
        double factor = (double)p * p / ((2.0 * p - 1) * (2.0 * p + 1));
        for (int i = 0; i < BLOCK; i++) {
            double older = factor * gap[i] * (2 - gap[i]) * (1 - before[i]);
            double following = (1 - gap[i]) * current[i] + gap[i] - older;
            before[i] = current[i];
            current[i] = following;
        }
    }
    for (int i = 0; i < BLOCK; i++)
        gap[i] = current[i] < 0 ? 0 : current[i] > 1 ? 1 : current[i];
}

/* Make gaps into kernels, in place. */
EACH_PROCESSOR void kernels(double *gap, size_t size, int q, int l)
{
    /* The last block is filled up, so that a value does not depend on where it stands. */
    double block[BLOCK] = {0}, sine[BLOCK], before[BLOCK];
    for (size_t start = 0; start < size; start += BLOCK) {
        size_t count = size - start < BLOCK ? size - start : BLOCK;
        memcpy(block, gap + start, count * sizeof *gap);
        for (int i = 0; i <= l; i++)
            level(q, block, sine, before);
        for (size_t i = 0; i < count; i++)
            gap[start + i] = 1 - block[i];
    }
}

/* Make gaps into derivatives of the kernel in t, in place: the product of the levels' q²/(2q-1) k_{q-1}, or 1/(π sin θ). */
EACH_PROCESSOR void slopes(double *gap, size_t size, int q, int l)
{
    double block[BLOCK] = {0}, sine[BLOCK], before[BLOCK], slope[BLOCK];
    double factor = q * (double)q / (2.0 * q - 1);
    for (size_t start = 0; start < size; start += BLOCK) {
        size_t count = size - start < BLOCK ? size - start : BLOCK;
        memcpy(block, gap + start, count * sizeof *gap);
        for (int i = 0; i < BLOCK; i++)
            slope[i] = 1;
        for (int i = 0; i <= l; i++) {
            level(q, block, sine, before);
            for (int j = 0; j < BLOCK; j++)
                slope[j] *= q > 0 ? factor * (1 - before[j]) : sine[j] > 0 ? INVERSE_PI / sine[j] : 0;
        }
        memcpy(gap + start, slope, count * sizeof *gap);
    }
}

/* Half the squared distance of two rows of `width` numbers. */
static inline double half_square(const double *a, const double *b, size_t width)
{
    double sum = 0;
    for (size_t i = 0; i < width; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum / 2;
}

/* Make products of offsets into the gaps |a|²/2 + |b|²/2 - a b', in place.
 *
 * `gap` has `rows` times `columns` numbers, row by row; `half_a` has |a|²/2 of every row, `half_b` |b|²/2 of every column.
 * A gap below `near` times |a|²/2 is taken from a - b, of `width` numbers; if it is at most `same` it is 0.
 */
EACH_PROCESSOR void complete(double *gap, const double *half_a, const double *half_b, const double *a,
    const double *b, size_t rows, size_t columns, size_t width, double near, double same)
{
    for (size_t row = 0; row < rows; row++, gap += columns) {
        double half = half_a[row], bound = near * half;
        size_t below = 0;
        for (size_t column = 0; column < columns; column++) {
            double distance = half + half_b[column] - gap[column];
            distance = distance < 0 ? 0 : distance > 2 ? 2 : distance;
            below += distance < bound;
            gap[column] = distance;
        }
        for (size_t column = 0; below > 0; column++) {
            if (!(gap[column] < bound))
                continue;
            double exact = half_square(a + row * width, b + column * width, width);
            gap[column] = exact > same ? exact : 0;
            below--;
        }
    }
}
