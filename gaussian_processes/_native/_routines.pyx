# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=False
"""Binding of the C routines, and of BLAS and LAPACK without a copy and without Python's lock.

Every entry checks its arguments before C sees them, and raises ValueError with the value, the rule
and the remedy. `fallback` has the same entries in NumPy.

`scipy.linalg.blas` holds the lock during a call and wants column-major arrays; a row-major matrix
is given to BLAS as the transpose of a column-major one. SciPy's declarations say how wide
BLAS's integers are: of another width, this file does not compile, or refuses to be imported.
"""

from cpython.number cimport PyNumber_AsSsize_t
from libc.limits cimport INT_MAX
from libc.stdlib cimport free, malloc
from scipy.linalg.cython_blas cimport dgemm, dgemv, dtrsm, dtrsv, sgemm, sgemv, strsm, strsv
from scipy.linalg.cython_lapack cimport dpotrf, dpotri, spotrf, spotri

from gaussian_processes._native import checks

cdef extern from "routines.h" nogil:
    void gp_arc_cosine(double *, size_t, int, int)
    void gp_arc_cosine_derivative(double *, size_t, int, int)
    void gp_arc_cosine_and_derivative(double *, double *, size_t, int, int)
    void gp_half_sqdist(
        double *, const double *, const double *, const double *, const double *,
        size_t, size_t, size_t, double, double,
    )
    void gp_gaussian(
        double *, const double *, const double *, const double *, size_t, size_t, double
    )
    int gp_simd_width()
    void gp_skinny_gemm_update(
        double *, const double *, const double *, size_t, size_t, size_t, size_t, int
    )
    void gp_skinny_solve_triangular(double *, const double *, size_t, size_t, size_t, int)
    void gp_skinny_solve_lower(double *, const double *const *, size_t, size_t, size_t, int)

ctypedef fused real:
    float
    double

# What BLAS and LAPACK count with, as SciPy declares them: if it is another type, the calls below do
# not compile.
ctypedef int blas_int

# Columns that are taken one by one: routines for matrices first copy the whole matrix into an
# order of their own, which takes as long as three products with vectors.
cdef enum:
    FEW_COLUMNS = 3


def simd_width():
    """Return the numbers of the processor's widest register: columns of a skinny group."""
    return gp_simd_width()


def arc_cosine(cosine_distance, q, l):
    """Make cosine distances into kernels k_{q,l}, in place."""
    cdef int degree = _count("q", q), depth = _count("l", l)
    cdef double[:, ::1] pairs = _pairs(cosine_distance)
    if pairs.size:
        with nogil:
            gp_arc_cosine(&pairs[0, 0], pairs.shape[0] * pairs.shape[1], degree, depth)


def arc_cosine_derivative(cosine_distance, q, l):
    """Make cosine distances into derivatives of k_{q,l} in the cosine, in place."""
    cdef int degree = _count("q", q), depth = _count("l", l)
    cdef double[:, ::1] pairs = _pairs(cosine_distance)
    if pairs.size:
        with nogil:
            gp_arc_cosine_derivative(&pairs[0, 0], pairs.shape[0] * pairs.shape[1], degree, depth)


def arc_cosine_and_derivative(cosine_distance, derivative, q, l):
    """Make cosine distances into kernels k_{q,l}, in place, and write their derivatives."""
    cdef int degree = _count("q", q), depth = _count("l", l)
    cdef double[:, ::1] pairs = _writable("cosine_distance", cosine_distance)
    cdef double[:, ::1] slopes = _writable("derivative", derivative)
    if pairs.shape[0] != slopes.shape[0] or pairs.shape[1] != slopes.shape[1]:
        checks.refuse_derivative(cosine_distance, derivative)
    if pairs.size:
        with nogil:
            gp_arc_cosine_and_derivative(
                &pairs[0, 0], &slopes[0, 0], pairs.shape[0] * pairs.shape[1], degree, depth
            )


def half_sqdist(
    products, half_sqnorms_a, half_sqnorms_b, a, b,
    double cancellation_threshold, double duplicate_tolerance,
):
    """Make products a bᵀ into half the squared distances of the rows of a and b, in place."""
    cdef double[:, ::1] c = _writable("products", products)
    cdef const double[::1] norms_a = _vector("half_sqnorms_a", half_sqnorms_a)
    cdef const double[::1] norms_b = _vector("half_sqnorms_b", half_sqnorms_b)
    cdef const double[:, ::1] left = _contiguous("a", a), right = _contiguous("b", b)
    cdef Py_ssize_t rows = c.shape[0], columns = c.shape[1], width = left.shape[1]
    if (
        left.shape[0] != rows or right.shape[0] != columns or right.shape[1] != width
        or norms_a.shape[0] != rows or norms_b.shape[0] != columns
    ):
        checks.refuse_half_sqdist(products, half_sqnorms_a, half_sqnorms_b, a, b)
    if not rows or not columns:
        return
    with nogil:
        gp_half_sqdist(
            &c[0, 0], &norms_a[0], &norms_b[0], &left[0, 0], &right[0, 0], rows, columns, width,
            cancellation_threshold, duplicate_tolerance,
        )


def gaussian(value, cosine_distance, norms_a, norms_b, double gamma):
    """Write exp(-γ r²/2) of the points of cosine distances and norms."""
    cdef double[:, ::1] result = _writable("value", value)
    cdef const double[:, ::1] pairs = _contiguous("cosine_distance", cosine_distance)
    cdef const double[::1] first = _vector("norms_a", norms_a)
    cdef const double[::1] second = _vector("norms_b", norms_b)
    cdef Py_ssize_t rows = result.shape[0], columns = result.shape[1]
    if (
        pairs.shape[0] != rows or pairs.shape[1] != columns
        or first.shape[0] != rows or second.shape[0] != columns
    ):
        checks.refuse_gaussian(value, cosine_distance, norms_a, norms_b)
    if not rows or not columns:
        return
    with nogil:
        gp_gaussian(
            &result[0, 0], &pairs[0, 0], &first[0], &second[0], rows, columns, gamma
        )


def skinny_gemm_update(c, a, b, simd_width):
    """Make c into c - a b, in place, for c and b of few columns."""
    cdef double[:, ::1] result = _writable("c", c)
    cdef const double[:, :] left = _rows("a", a)
    cdef const double[:, ::1] right = _contiguous("b", b)
    cdef Py_ssize_t rows = result.shape[0], columns = result.shape[1], inner = right.shape[0]
    if left.shape[0] != rows or left.shape[1] != inner or right.shape[1] != columns:
        checks.refuse_product(c, a, b)
    cdef int width = _simd_width(columns, simd_width)
    # An empty product changes nothing.
    if not rows or not columns or not inner:
        return
    cdef Py_ssize_t stride = _stride("a", a, left)
    with nogil:
        gp_skinny_gemm_update(
            &result[0, 0], &left[0, 0], &right[0, 0], rows, inner, stride, columns, width
        )


def skinny_solve_triangular(triangle, c, simd_width):
    """Make c into L⁻¹ c, in place, for c of few columns and a lower triangle L."""
    cdef double[:, ::1] result = _writable("c", c)
    cdef const double[:, :] lower = _rows("triangle", triangle)
    cdef Py_ssize_t rows = result.shape[0], columns = result.shape[1]
    if lower.shape[0] != rows or lower.shape[1] != rows:
        checks.refuse_triangle(triangle, c)
    cdef int width = _simd_width(columns, simd_width)
    if not rows or not columns:
        return
    cdef Py_ssize_t stride = _stride("triangle", triangle, lower)
    with nogil:
        gp_skinny_solve_triangular(&result[0, 0], &lower[0, 0], rows, stride, columns, width)


cdef class PanelPointers:
    """Where the panels of a lower triangle are, checked once and kept alive.

    Parameters
    ----------
    panels : sequence of ndarray of shape (n - j * width, width), contiguous
    width : int

    Raises
    ------
    ValueError
        If the panels are of other shapes, or their numbers not float64 one after the other.
    """

    cdef readonly Py_ssize_t rows
    cdef readonly Py_ssize_t width
    cdef const double **_pointers
    # The buffers are held, so that no panel is freed or moved while it is pointed at.
    cdef list _views

    def __cinit__(self, panels, width):
        cdef const double[:, ::1] panel
        cdef Py_ssize_t index
        checks.panels(panels, width)
        self.rows, self.width, self._views = len(panels[0]), width, []
        self._pointers = <const double **> malloc(len(panels) * sizeof(double *))
        if not self._pointers:
            raise MemoryError
        for index in range(len(panels)):
            panel = panels[index]
            self._views.append(panel)
            self._pointers[index] = &panel[0, 0]

    def __dealloc__(self):
        free(self._pointers)


def skinny_solve_lower(PanelPointers triangle not None, c, simd_width):
    """Make c into L⁻¹ c, in place, for c of few columns and a lower triangle L in panels."""
    cdef double[:, ::1] result = _writable("c", c)
    if result.shape[0] != triangle.rows:
        checks.refuse_rows(triangle.rows, c)
    cdef Py_ssize_t rows = result.shape[0], columns = result.shape[1]
    cdef int width = _simd_width(columns, simd_width)
    if not columns:
        return
    with nogil:
        gp_skinny_solve_lower(
            &result[0, 0], triangle._pointers, rows, triangle.width, columns, width
        )


def gemm_update(c, a, b):
    """Make c into c - a b, in place, by BLAS: float64 or float32."""
    if checks.common_dtype(c=c, a=a, b=b) == b"d":
        _gemm_update[double](c, a, b)
    else:
        _gemm_update[float](c, a, b)


def solve_triangular(triangle, c):
    """Make c into T⁻¹ c, in place, by BLAS, for T a lower triangle or the transpose of one."""
    if checks.common_dtype(c=c, triangle=triangle) == b"d":
        _solve_triangular[double](triangle, c)
    else:
        _solve_triangular[float](triangle, c)


def potrf(block):
    """Make the lower half of a block into its Cholesky factor, in place, by LAPACK."""
    if checks.common_dtype(block=block) == b"d":
        return _potrf[double](block)
    return _potrf[float](block)


def potri(block):
    """Make the lower half of a block from a Cholesky factor into the inverse, by LAPACK."""
    if checks.common_dtype(block=block) == b"d":
        return _potri[double](block)
    return _potri[float](block)


cdef struct Layout:
    # N: rows are contiguous, T: columns are; and the numbers from one run to the next.
    char letter
    blas_int leading


cdef _gemm_update(real[:, :] c, const real[:, :] a, const real[:, :] b):
    cdef blas_int rows = _dimension(c.shape[0]), columns = _dimension(c.shape[1])
    cdef blas_int inner = _dimension(a.shape[1]), column, step_b, step_c
    if a.shape[0] != c.shape[0] or b.shape[0] != a.shape[1] or b.shape[1] != c.shape[1]:
        checks.refuse_product(c.base, a.base, b.base)
    if not rows or not columns or not inner:
        return
    cdef Layout to = _layout("c", c.shape, c.strides, sizeof(real))
    cdef Layout left = _layout("a", a.shape, a.strides, sizeof(real))
    cdef Layout right = _layout("b", b.shape, b.strides, sizeof(real))
    if to.letter != b"N":
        checks.refuse_strides("c", c.base)
    step_b, step_c = _step(b.strides, sizeof(real)), _step(c.strides, sizeof(real))
    with nogil:
        if columns <= FEW_COLUMNS:
            for column in range(columns):
                _gemv(left, rows, inner, &a[0, 0], &b[0, column], step_b, &c[0, column], step_c)
        else:
            _gemm(left, right, to, rows, inner, columns, &a[0, 0], &b[0, 0], &c[0, 0])


cdef void _gemm(
    Layout a, Layout b, Layout c, blas_int rows, blas_int inner, blas_int columns,
    const real *left, const real *right, real *result,
) noexcept nogil:
    """Subtract a product; column-major BLAS sees matrices transposed: cᵀ = cᵀ - bᵀ aᵀ."""
    cdef real minus = -1, one = 1
    if real is double:
        dgemm(
            &b.letter, &a.letter, &columns, &rows, &inner, &minus, <real *> right, &b.leading,
            <real *> left, &a.leading, &one, result, &c.leading,
        )
    else:
        sgemm(
            &b.letter, &a.letter, &columns, &rows, &inner, &minus, <real *> right, &b.leading,
            <real *> left, &a.leading, &one, result, &c.leading,
        )


cdef void _gemv(
    Layout a, blas_int rows, blas_int inner, const real *matrix, const real *x, blas_int step_x,
    real *y, blas_int step_y,
) noexcept nogil:
    """Subtract the product of a matrix and a column from a column."""
    cdef char transposed = b"T" if a.letter == b"N" else b"N"
    cdef blas_int m = inner if a.letter == b"N" else rows, n = rows if a.letter == b"N" else inner
    cdef real minus = -1, one = 1
    if real is double:
        dgemv(
            &transposed, &m, &n, &minus, <real *> matrix, &a.leading, <real *> x, &step_x, &one,
            y, &step_y,
        )
    else:
        sgemv(
            &transposed, &m, &n, &minus, <real *> matrix, &a.leading, <real *> x, &step_x, &one,
            y, &step_y,
        )


cdef _solve_triangular(const real[:, :] triangle, real[:, :] c):
    cdef blas_int rows = _dimension(c.shape[0]), columns = _dimension(c.shape[1]), column, step
    if triangle.shape[0] != rows or triangle.shape[1] != rows:
        checks.refuse_triangle(triangle.base, c.base)
    if not rows or not columns:
        return
    cdef Layout to = _layout("c", c.shape, c.strides, sizeof(real))
    cdef Layout lower = _layout("triangle", triangle.shape, triangle.strides, sizeof(real))
    step = _step(c.strides, sizeof(real))
    with nogil:
        if columns <= FEW_COLUMNS:
            for column in range(columns):
                _trsv(lower, rows, &triangle[0, 0], &c[0, column], step)
        else:
            _trsm(lower, to, rows, columns, &triangle[0, 0], &c[0, 0])


cdef void _trsv(
    Layout triangle, blas_int rows, const real *matrix, real *x, blas_int step
) noexcept nogil:
    """Solve for a column, with a lower triangle or the transpose of one."""
    cdef char upper = b"U", plain = b"N", transposed = b"T"
    cdef char *flip = &transposed if triangle.letter == b"N" else &plain
    if real is double:
        dtrsv(&upper, flip, &plain, &rows, <real *> matrix, &triangle.leading, x, &step)
    else:
        strsv(&upper, flip, &plain, &rows, <real *> matrix, &triangle.leading, x, &step)


cdef void _trsm(
    Layout triangle, Layout c, blas_int rows, blas_int columns, const real *matrix, real *result
) noexcept nogil:
    """Solve for columns; a row-major c is seen as cᵀ, so it is cᵀ T⁻ᵀ, from the right."""
    cdef char right = b"R", left = b"L", upper = b"U", plain = b"N", transposed = b"T"
    cdef char *side = &right if c.letter == b"N" else &left
    cdef blas_int *m = &columns if c.letter == b"N" else &rows
    cdef blas_int *n = &rows if c.letter == b"N" else &columns
    cdef char *flip = &plain if triangle.letter == c.letter else &transposed
    cdef real one = 1
    if real is double:
        dtrsm(
            side, &upper, flip, &plain, m, n, &one, <real *> matrix, &triangle.leading, result,
            &c.leading,
        )
    else:
        strsm(
            side, &upper, flip, &plain, m, n, &one, <real *> matrix, &triangle.leading, result,
            &c.leading,
        )


cdef _potrf(real[:, :] block):
    cdef blas_int size = _dimension(block.shape[0]), failed_minor = 0
    if block.shape[1] != size:
        checks.refuse_square("block", block.base)
    if not size:
        return 0
    cdef Layout layout = _layout("block", block.shape, block.strides, sizeof(real))
    if layout.letter != b"N":
        checks.refuse_strides("block", block.base)
    cdef char upper = b"U"
    with nogil:
        if real is double:
            dpotrf(&upper, &size, &block[0, 0], &layout.leading, &failed_minor)
        else:
            spotrf(&upper, &size, &block[0, 0], &layout.leading, &failed_minor)
    return failed_minor


cdef _potri(real[:, :] block):
    cdef blas_int size = _dimension(block.shape[0]), zero_pivot = 0
    if block.shape[1] != size:
        checks.refuse_square("block", block.base)
    if not size:
        return 0
    cdef Layout layout = _layout("block", block.shape, block.strides, sizeof(real))
    if layout.letter != b"N":
        checks.refuse_strides("block", block.base)
    cdef char upper = b"U"
    with nogil:
        if real is double:
            dpotri(&upper, &size, &block[0, 0], &layout.leading, &zero_pivot)
        else:
            spotri(&upper, &size, &block[0, 0], &layout.leading, &zero_pivot)
    return zero_pivot


cdef Layout _layout(str name, Py_ssize_t *shape, Py_ssize_t *strides, Py_ssize_t itemsize) except *:
    """BLAS's view of a matrix: which way its runs go, and how far they are apart."""
    cdef Layout layout
    cdef Py_ssize_t down = strides[0] // itemsize, right = strides[1] // itemsize, leading
    if strides[0] % itemsize or strides[1] % itemsize:
        leading = -1
    elif (shape[1] == 1 or right == 1) and (shape[0] == 1 or down >= shape[1]):
        layout.letter, leading = b"N", down if shape[0] > 1 else shape[1]
    elif (shape[0] == 1 or down == 1) and (shape[1] == 1 or right >= shape[0]):
        layout.letter, leading = b"T", right if shape[1] > 1 else shape[0]
    else:
        leading = -1
    if leading < 0:
        raise ValueError(
            f"{name} has shape ({shape[0]}, {shape[1]}) and strides ({strides[0]}, {strides[1]}),"
            " so neither its rows nor its columns are contiguous; copy it"
        )
    layout.leading = _dimension(leading)
    return layout


cdef inline blas_int _step(const Py_ssize_t *strides, Py_ssize_t itemsize) noexcept:
    """Numbers from one row of a column to the next: BLAS's increment."""
    return <blas_int> (strides[0] // itemsize) if strides[0] >= itemsize else 1


cdef blas_int _dimension(Py_ssize_t size) except -1:
    """Return a size as an integer of BLAS's, whose width may be less."""
    cdef blas_int dimension = <blas_int> size
    if dimension != size or dimension < 0:
        raise ValueError(f"BLAS cannot count to {size}; divide the matrix into blocks")
    return dimension


cdef int _count(str name, value) except -1:
    """Return a degree or a depth."""
    cdef Py_ssize_t count
    try:
        count = PyNumber_AsSsize_t(value, OverflowError)
    except (TypeError, OverflowError):
        count = -1
    if count < 0 or count > INT_MAX:
        checks.refuse_count(name, value)
    return <int> count


cdef int _simd_width(Py_ssize_t columns, Py_ssize_t width) except -1:
    """Return the numbers of a register, if there is such a one and it divides the columns."""
    if width not in (2, 4, 8) or width > gp_simd_width() or (columns != 1 and columns % width):
        checks.refuse_columns(columns, width, gp_simd_width())
    return <int> width


cdef Py_ssize_t _stride(str name, array, const double[:, :] rows) except -1:
    """Numbers from one row to the next, where there are several."""
    cdef Py_ssize_t itemsize = sizeof(double)
    if rows.shape[0] <= 1:
        return rows.shape[1]
    if rows.strides[0] % itemsize or rows.strides[0] // itemsize < rows.shape[1]:
        checks.refuse_strides(name, array)
    return rows.strides[0] // itemsize


cdef double[:, ::1] _pairs(array):
    """See a contiguous array of any number of dimensions as a matrix."""
    if getattr(array, "ndim", 2) != 2:
        checks.contiguous("cosine_distance", array, writable=True)
        array = array.reshape(1, -1)
    return _writable("cosine_distance", array)


cdef double[:, ::1] _writable(str name, array):
    cdef double[:, ::1] view
    if array is None:  # which would pass for a buffer
        checks.refuse_buffer(name, array, 2, "contiguous and writable")
    try:
        view = array
    except (TypeError, ValueError) as error:
        checks.refuse_buffer(name, array, 2, "contiguous and writable", error)
    _align(name, array, &view[0, 0])
    return view


cdef const double[:, ::1] _contiguous(str name, array):
    cdef const double[:, ::1] view
    if array is None:
        checks.refuse_buffer(name, array, 2, "contiguous")
    try:
        view = array
    except (TypeError, ValueError) as error:
        checks.refuse_buffer(name, array, 2, "contiguous", error)
    _align(name, array, &view[0, 0])
    return view


cdef const double[::1] _vector(str name, array):
    cdef const double[::1] view
    if array is None:
        checks.refuse_buffer(name, array, 1, "contiguous")
    try:
        view = array
    except (TypeError, ValueError) as error:
        checks.refuse_buffer(name, array, 1, "contiguous", error)
    _align(name, array, &view[0])
    return view


cdef const double[:, :] _rows(str name, array):
    cdef const double[:, :] view
    if array is None:
        checks.refuse_buffer(name, array, 2, "with contiguous rows")
    try:
        view = array
    except (TypeError, ValueError) as error:
        checks.refuse_buffer(name, array, 2, "with contiguous rows", error)
    if view.shape[1] > 1 and view.strides[1] != sizeof(double):
        checks.refuse_strides(name, array)
    _align(name, array, &view[0, 0])
    return view


cdef inline int _align(str name, array, const double *first) except -1:
    """Refuse numbers at addresses that C expects none at, of which a buffer says nothing."""
    if <size_t> first % sizeof(double):
        checks.refuse_unaligned(name, array)
    return 0
