/* Drive the C routines over awkward shapes, for AddressSanitizer and UndefinedBehaviorSanitizer to
 * watch.
 *
 * Every array is allocated by itself and to the number, so that one read or write past an end is an
 * error. Results are compared with loops that are written as the definitions are; the exit status
 * says whether they agree.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "routines.h"

static unsigned long long state = 20090815;

/* Number from -1 to 1 (Knuth's linear congruential generator). */
static double number(void)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (double)(state >> 11) / (double)(1ull << 52) - 1;
}

static double *numbers(size_t count)
{
    double *array = malloc(count * sizeof *array);
    if (!array && count)
        exit(2);
    for (size_t i = 0; i < count; i++)
        array[i] = number();
    return array;
}

static void require(double value, double expected, double tolerance, const char *routine)
{
    if (fabs(value - expected) <= tolerance)
        return;
    fprintf(stderr, "%s: %.17g, but %.17g was expected\n", routine, value, expected);
    exit(1);
}

/* Kernels of degree 0 and 1 at depth 0, which have closed forms, and any other for the sanitizers
 * alone. */
static void kernels(size_t size, int q, int l)
{
    double *distance = numbers(size), *value = numbers(size), *slope = numbers(size);
    double *both = numbers(size), *of_both = numbers(size);
    for (size_t i = 0; i < size; i++)
        distance[i] = value[i] = slope[i] = both[i] = i % 5 ? 1 + distance[i] : (double)(i % 3);
    gp_arc_cosine(value, size, q, l);
    gp_arc_cosine_derivative(slope, size, q, l);
    gp_arc_cosine_and_derivative(both, of_both, size, q, l);
    for (size_t i = 0; i < size; i++) {
        require(both[i], value[i], 1e-14, "arc_cosine_and_derivative");
        require(of_both[i], slope[i], 1e-14 * fabs(slope[i]), "arc_cosine_and_derivative");
        double angle = 2 * asin(sqrt(distance[i] / 2)), pi = acos(-1.0);
        if (l == 0 && q < 2)
            require(value[i],
                1 - angle / pi - q * (distance[i] * (1 - angle / pi) - sin(angle) / pi), 1e-14,
                "arc_cosine");
        if (l == 0 && q == 1)
            require(slope[i], 1 - angle / pi, 1e-14, "arc_cosine_derivative");
    }
    free(distance);
    free(value);
    free(slope);
    free(both);
    free(of_both);
}

static double half_square(const double *a, const double *b, size_t width)
{
    double sum = 0;
    for (size_t i = 0; i < width; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum / 2;
}

/* Points of length 1 at most, the last of b equal to the first of a. */
static void distances(size_t rows, size_t columns, size_t width)
{
    double *a = numbers(rows * width), *b = numbers(columns * width),
           *zero = calloc(width, sizeof *zero);
    double *half_a = numbers(rows), *half_b = numbers(columns), *products = numbers(rows * columns);
    if (!zero && width)
        exit(2);
    for (size_t i = 0; i < rows * width; i++)
        a[i] /= sqrt((double)width);
    for (size_t i = 0; i < columns * width; i++)
        b[i] = i / width == columns - 1 && rows ? a[i % width] : b[i] / sqrt((double)width);
    for (size_t i = 0; i < rows; i++)
        half_a[i] = half_square(a + i * width, zero, width);
    for (size_t j = 0; j < columns; j++)
        half_b[j] = half_square(b + j * width, zero, width);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            products[i * columns + j] =
                half_a[i] + half_b[j] - half_square(a + i * width, b + j * width, width);
    gp_half_sqdist(products, half_a, half_b, a, b, rows, columns, width, 1e-4, 1e-30);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            require(products[i * columns + j], half_square(a + i * width, b + j * width, width),
                1e-14, "half_sqdist");
    free(a);
    free(b);
    free(zero);
    free(half_a);
    free(half_b);
    free(products);
}

/* exp(-γ r²/2) of norms between 1 and 3. */
static void gaussians(size_t rows, size_t columns, double gamma)
{
    double *value = numbers(rows * columns), *distance = numbers(rows * columns);
    double *a = numbers(rows), *b = numbers(columns);
    for (size_t i = 0; i < rows; i++)
        a[i] += 2;
    for (size_t j = 0; j < columns; j++)
        b[j] += 2;
    for (size_t i = 0; i < rows * columns; i++)
        distance[i] += 1;
    gp_gaussian(value, distance, a, b, rows, columns, gamma);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            double square = (a[i] - b[j]) * (a[i] - b[j]) + 2 * a[i] * b[j] * distance[i * columns + j];
            double expected = exp(-gamma * square / 2);
            require(value[i * columns + j], expected, 1e-13 * expected + 1e-300, "gaussian");
        }
    free(value);
    free(distance);
    free(a);
    free(b);
}

/* c - a b, where a has a stride and its last row ends with its last number. */
static void product(size_t rows, size_t inner, size_t spare, size_t columns, int simd_width)
{
    size_t stride = inner + spare;
    double *a = numbers(rows ? (rows - 1) * stride + inner : 0), *b = numbers(inner * columns);
    double *c = numbers(rows * columns), *expected = numbers(rows * columns);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            expected[i * columns + j] = c[i * columns + j];
            for (size_t k = 0; k < inner; k++)
                expected[i * columns + j] -= a[i * stride + k] * b[k * columns + j];
        }
    gp_skinny_gemm_update(c, a, b, rows, inner, stride, columns, simd_width);
    for (size_t i = 0; i < rows * columns; i++)
        require(c[i], expected[i], 1e-12, "skinny_gemm_update");
    free(a);
    free(b);
    free(c);
    free(expected);
}

/* L x = c for a triangle in panels of `width` columns; of one that is as wide as the triangle, by
 * the simpler routine too. */
static void solution(size_t rows, size_t width, size_t columns, int simd_width)
{
    size_t count = (rows + width - 1) / width;
    double **panels = malloc(count * sizeof *panels), *x = numbers(rows * columns);
    double *c = calloc(rows * columns, sizeof *c), *other = malloc(rows * columns * sizeof *other);
    if ((count && !panels) || (rows && columns && (!c || !other)))
        exit(2);
    for (size_t p = 0, start = 0; p < count; p++, start += width) {
        size_t wide = rows - start < width ? rows - start : width;
        panels[p] = numbers((rows - start) * wide);
        for (size_t i = 0; i < rows - start; i++)
            for (size_t k = 0; k < wide; k++) {
                double *entry = &panels[p][i * wide + k];
                *entry = i == k ? 2 : k > i ? NAN : *entry / (double)rows;
                for (size_t j = 0; k <= i && j < columns; j++)
                    c[(start + i) * columns + j] += *entry * x[(start + k) * columns + j];
            }
    }
    for (size_t i = 0; i < rows * columns; i++)
        other[i] = c[i];
    gp_skinny_solve_lower(c, (const double *const *)panels, rows, width, columns, simd_width);
    if (count == 1)
        gp_skinny_solve_triangular(other, panels[0], rows, rows, columns, simd_width);
    for (size_t i = 0; i < rows * columns; i++) {
        require(c[i], x[i], 1e-12, "skinny_solve_lower");
        if (count == 1)
            require(other[i], x[i], 1e-12, "skinny_solve_triangular");
    }
    for (size_t p = 0; p < count; p++)
        free(panels[p]);
    free(panels);
    free(x);
    free(c);
    free(other);
}

int main(void)
{
    static const size_t sizes[] = {0, 1, 2, 3, 7, 8, 9, 15, 17, 33, 63, 64, 65, 130};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    for (int i = 0; i < SIZES; i++)
        for (int q = 0; q < 5; q++)
            for (int l = 0; l < 3; l++)
                kernels(sizes[i], q, l);
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < SIZES; j++)
            for (size_t width = 0; width < 4; width++)
                distances(sizes[i], sizes[j], width);
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < SIZES; j++)
            gaussians(sizes[i], sizes[j], j % 2 ? 100 : 0.5);
    for (int simd_width = 2; simd_width <= gp_simd_width(); simd_width *= 2)
        for (size_t groups = 0; groups <= 9; groups++) {
            size_t columns = groups == 9 ? 1 : groups * (size_t)simd_width;
            for (int i = 0; i < SIZES; i++)
                for (int j = 0; j < SIZES; j++) {
                    product(sizes[i], sizes[j], groups % 3, columns, simd_width);
                    if (sizes[j])
                        solution(sizes[i], sizes[j], columns, simd_width);
                }
        }
    return 0;
}
