"""Whether code that somebody types is whole, and how its next line begins; pure."""

import ast
import codeop
import re
from typing import Final

_INDENT: Final = "    "
_ONE_LINE: Final = re.compile(r"\s*[%!?]|.*\?\s*$")


def is_whole(text: str) -> bool:
    """Tell whether Enter should run it; else it begins another line.

    A block is whole with an empty line behind it. What this Python cannot read is whole, too: the container's may be
    newer, it knows magics, and it says better what is wrong.
    """
    lines = text.split("\n")
    if lines[0].startswith("%%"):
        return lines[-1].strip() == ""
    if len(lines) == 1 and _ONE_LINE.match(text):
        return True
    compile_command = codeop.CommandCompiler()
    compile_command.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        is_complete = compile_command(text, "<prompt>", "exec") is not None
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return True
    return is_complete and (len(lines) == 1 or lines[-1].strip() == "") and not _opens_block(lines)


def indent_after(text: str) -> str:
    """Give the blanks that the line after ``text`` begins with."""
    line = text.rpartition("\n")[2]
    blanks = line[: len(line) - len(line.lstrip())]
    return blanks + (_INDENT if line.rstrip().endswith(":") else "")


def _opens_block(lines: list[str]) -> bool:
    """Tell of a decorator or a one-line block, after which more of the same statement may come."""
    return len(lines) == 1 and re.match(r"(if|for|while|with|try|def|class|async|@)\b.*:", lines[0]) is not None
