"""The first sheet of an Excel workbook (.xlsx), through openpyxl, as rows of text cells."""

from io import BytesIO

from gradscope.data.columns import quoted
from gradscope.data.delimited import CellTable, named_columns
from gradscope.data.intake import Intake, ZipMembers
from gradscope.errors import DataError, install_line

ZIP_START = b"PK\x03\x04"


def workbook_cells(raw: bytes, intake: Intake) -> CellTable:
    """Return the cells of the first sheet as they were when it was last saved, formulas as their
    results; rows without any cell are passed over. Raises DataError without openpyxl, if the file
    is damaged or unfolds to too much, or as ``named_columns`` does.
    """
    source = str(intake.path)
    try:
        from openpyxl import load_workbook
    except ImportError:
        text = "is a workbook: save it as CSV, or install openpyxl"
        raise DataError(f"{source} {text}; {install_line('tables')}") from None
    with intake.reading("a workbook (.xlsx)", "save it again, or as CSV"):
        members = ZipMembers(BytesIO(raw), intake)
        for name in members.names:
            intake.spend(members.size(name), name)
        sheet = load_workbook(BytesIO(raw), read_only=True, data_only=True).worksheets[0]
        sheet.reset_dimensions()  # They may claim more cells than there are.
        rows = []
        for line, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
            if any(cell is not None for cell in cells):
                intake.visit(len(cells))
                rows.append((line, ["" if cell is None else str(cell) for cell in cells]))
        width = max((len(cells) for _, cells in rows), default=0)
        intake.visit(width * len(rows))
        padded = ((line, cells + [""] * (width - len(cells))) for line, cells in rows)
        place = f"sheet {quoted(sheet.title)} row"
        return named_columns(padded, ",", source, place)
