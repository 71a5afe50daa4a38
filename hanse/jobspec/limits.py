"""How much a job file may ask of us. Every bound of this package is named here."""

from __future__ import annotations

SOURCE_BYTES_MAX = 1024 * 1024
TOKENS_MAX = 100_000
#: Findings reported about one job file.
FINDINGS_MAX = 50
#: Blocks, brackets, parentheses, templates and operators inside one another. Each level costs a few
#: frames of Python's stack, of which there are a thousand.
NESTING_MAX = 100
#: Elements of one value, those of its elements included.
VALUE_WEIGHT_MAX = 200_000
VALUE_DEPTH_MAX = 100
STRING_CHARS_MAX = 4 * 1024 * 1024
#: Decimal exponents of numbers, as written or computed.
EXPONENT_MAX = 1000
RANGE_ITEMS_MAX = 1024
DYNAMIC_BLOCKS_MAX = 5000
BCRYPT_COST_MAX = 12
FILE_BYTES_MAX = 4 * 1024 * 1024
FILES_LISTED_MAX = 10_000
STEPS_MAX = 4_000_000

#: CPU seconds for one job file: untrusted text, and the user's own on the command line.
UNTRUSTED_CPU_S_MAX = 1.0
TRUSTED_CPU_S_MAX = 20.0
