"""Columns of Parquet."""

import io
from decimal import Decimal

import pandas as pd
from channel_files import fill, numbers, read


def test_decimals_are_numbers_and_an_index_with_a_name_is_a_column(folder):
    buffer = io.BytesIO()
    frame = pd.DataFrame({"age": [3, 4], "y": [Decimal("1.50"), Decimal("2.25")]}).set_index("age")
    frame.to_parquet(buffer)
    fill(folder, {"a.parquet": buffer.getvalue()})

    table = read(folder)

    assert table.names == ("age", "y")
    assert numbers(table).tolist() == [[3, 1.5], [4, 2.25]]
