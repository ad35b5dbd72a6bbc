"""Odd cells, each with what it must be taken for: a number, a missing value, or neither."""

MISSING, REFUSED = "missing", "refused"

ODD_CELLS = {
    # White space around a number, of any kind, is ignored.
    " 1 ": 1.0,
    "\t1\t": 1.0,
    "\u00a01.5": 1.5,
    "1.5\u00a0": 1.5,
    "\u20091.5": 1.5,
    "\u202f1": 1.0,
    "1\u3000": 1.0,
    "1\u2028": 1.0,
    # Inside a number it is not, nor is any other separator.
    "1 2": REFUSED,
    "1\u00a0000": REFUSED,
    "1\u2009000": REFUSED,
    "1_000": REFUSED,
    "1,5": REFUSED,
    "1.000,5": REFUSED,
    "1e 5": REFUSED,
    "+ 1": REFUSED,
    # Digits and signs are ASCII's.
    "\u0663": REFUSED,
    "\uff11.5": REFUSED,
    "\u00b2": REFUSED,
    "\u22121": REFUSED,
    # Quotes beyond those of CSV, byte order marks and invisible characters are no white space.
    '"1"': REFUSED,
    "'1'": REFUSED,
    '1"': REFUSED,
    "\ufeff1.5": REFUSED,
    "\u200b1": REFUSED,
    # Control characters are no text.
    "1\x00": REFUSED,
    "\x00": REFUSED,
    "1\x1f": REFUSED,
    "\x1c1": REFUSED,
    # Numbers must be finite as float64; what is too small is zero.
    "1e400": REFUSED,
    "-1e400": REFUSED,
    "inf": REFUSED,
    "-Infinity": REFUSED,
    "1e-400": 0.0,
    "4.9e-324": 5e-324,
    "99999999999999999999": 1e20,
    "9007199254740993": 9007199254740992.0,
    # Decimals without digits on one side, signs, exponents, leading zeros.
    "+1": 1.0,
    ".5": 0.5,
    "5.": 5.0,
    "1E+5": 100000.0,
    "007": 7.0,
    "-0.0": -0.0,
    ".": REFUSED,
    "-": REFUSED,
    "1e": REFUSED,
    # Other notations are no numbers.
    "0x10": REFUSED,
    "1d5": REFUSED,
    "1j": REFUSED,
    "1%": REFUSED,
    "$1": REFUSED,
    "#1": REFUSED,
    # Booleans are categories.
    "true": REFUSED,
    "FALSE": REFUSED,
    # Markers of missing values; others are text.
    "": MISSING,
    "  ": MISSING,
    "\u00a0": MISSING,
    "nan": MISSING,
    "NAN": MISSING,
    "-nan": MISSING,
    "NA": MISSING,
    "N/A": MISSING,
    "None": MISSING,
    "null": MISSING,
    "none": REFUSED,
    "?": REFUSED,
    "1.#QNAN": REFUSED,
}
