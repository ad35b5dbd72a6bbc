/* The microkernel of skinny.c: MR rows of up to NR registers of LANES numbers.
 *
 * Included once for each kind of register. MR is how many rows of two or three registers are worked
 * on at once: as many sums as keep the processor busy and have a register each. NAMED tells the
 * kinds' names apart.
 */

/* What it points to is written as double elsewhere, so it may alias. */
typedef double NAMED(lanes)
    __attribute__((vector_size(LANES * sizeof(double)), aligned(sizeof(double)), may_alias));
#define lanes NAMED(lanes)

/* Take a b from some rows of c, `height` at most, and `parts` registers of columns; if `triangle`,
 * divide by a's diagonal.
 *
 * Inlined where the last three are constants, so that the sums stay in registers.
 */
ALWAYS_INLINE void NAMED(tile)(
    const struct matrices *m, size_t first, size_t column, int height, int parts, int triangle)
{
    size_t rows = m->rows - first < (size_t)height ? m->rows - first : (size_t)height;
    size_t inner = rows < (size_t)height ? 0 : triangle ? first : m->width;
    lanes sum[ROW_BLOCK][NR] = {0};
    const double *a = m->a + first * m->stride, *b = m->b + column;
    double *c = m->c + first * m->columns + column;
    for (size_t j = 0; j < inner; j++) {
        const lanes *factor = (const lanes *)(b + j * m->columns);
        /* The processor foresees how a row goes on, but not where others begin. Past the end this
         * reads nothing. */
        if (j % LINE == 0)
            for (int i = 0; i < height; i++)
                __builtin_prefetch(a + (i + ROW_BLOCK) * m->stride + j);
        for (int i = 0; i < height; i++)
            for (int part = 0; part < parts; part++)
                sum[i][part] += a[i * m->stride + j] * factor[part];
    }
    for (size_t i = 0; i < rows; i++, a += m->stride, c += m->columns) {
        size_t end = triangle ? first + i : m->width;
        for (size_t j = inner; j < end; j++)
            for (int part = 0; part < parts; part++)
                sum[i][part] += a[j] * ((const lanes *)(b + j * m->columns))[part];
        for (int part = 0; part < parts; part++) {
            lanes *target = (lanes *)c + part;
            *target -= sum[i][part];
            if (triangle)
                *target /= a[end];
        }
    }
}

/* Take from one column, or from none, what `height` rows of a explain of it; if `triangle`, divide
 * by a's diagonal.
 *
 * A register has numbers that stand below each other; each row has two sums, so that one may begin
 * before the other has ended.
 */
ALWAYS_INLINE void NAMED(rows_of_one)(
    const struct matrices *m, size_t first, int height, int triangle)
{
    const double *a = m->a + first * m->stride, *b = m->b;
    double *c = m->c + first;
    size_t width = triangle ? first : m->width, j = 0;
    lanes sum[ROWS_OF_ONE][2] = {0};
    for (; j + 2 * LANES <= width; j += 2 * LANES)
        for (int i = 0; i < height; i++)
            for (int k = 0; k < 2; k++)
                sum[i][k] += *(const lanes *)(a + i * m->stride + j + k * LANES) *
                    *(const lanes *)(b + j + k * LANES);
    for (int i = 0; i < height; i++, a += m->stride) {
        double total = 0;
        size_t end = triangle ? first + i : width;
        sum[i][0] += sum[i][1];
        for (int lane = 0; lane < LANES; lane++)
            total += sum[i][0][lane];
        for (size_t k = j; k < end; k++)
            total += a[k] * b[k];
        c[i] -= total;
        if (triangle)
            c[i] /= a[end];
    }
}

/* Do all rows of one column: several at once, which the processor fetches sooner than one after the
 * other. */
ALWAYS_INLINE void NAMED(one)(const struct matrices *m, int triangle)
{
    size_t row = 0;
    for (; row + ROWS_OF_ONE <= m->rows; row += ROWS_OF_ONE)
        NAMED(rows_of_one)(m, row, ROWS_OF_ONE, triangle);
    for (; row < m->rows; row++)
        NAMED(rows_of_one)(m, row, 1, triangle);
}

/* Do all rows and columns: `ROW_BLOCK` rows of `a`, while they are in the cache, with all columns.
 */
ALWAYS_INLINE void NAMED(many)(const struct matrices *m, int triangle)
{
    for (size_t first = 0; first < m->rows; first += ROW_BLOCK) {
        size_t end = m->rows - first < ROW_BLOCK ? m->rows : first + ROW_BLOCK;
        for (size_t column = 0, parts; column < m->columns; column += parts * LANES) {
            parts = (m->columns - column) / LANES;
            parts = parts == 4 ? 2 : parts < NR ? parts : NR;
            if (parts == 1)
                NAMED(tile)(m, first, column, ROW_BLOCK, 1, triangle);
            for (size_t row = first; parts > 1 && row < end; row += MR)
                if (parts == 2)
                    NAMED(tile)(m, row, column, MR, 2, triangle);
                else
                    NAMED(tile)(m, row, column, MR, NR, triangle);
        }
    }
}

COMPILED static void NAMED(run)(const struct matrices *m, int triangle)
{
    if (m->columns == 1 && triangle)
        NAMED(one)(m, 1);
    else if (m->columns == 1)
        NAMED(one)(m, 0);
    else if (triangle)
        NAMED(many)(m, 1);
    else
        NAMED(many)(m, 0);
}

#undef lanes
#undef LANES
#undef MR
#undef COMPILED
#undef NAMED
