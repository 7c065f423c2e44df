"""The limits of what people and machines may send, each written once.

Schemas and forms show a limit, the managers refuse what is beyond it, and columns have room for it. Lengths are in
characters. It must not know who applies a limit.
"""

# --- Pools and targets ----------------------------------------------------------------------------------------------
DESCRIPTION_LENGTH = 500
COMMENT_LENGTH = 500
RETENTION = 10_000  # past states of each endpoint
PATTERNS = 1000
PATTERN_LENGTH = 255

SIGNATURE_DAYS = 3650
SIGNATURE_DAYS_DEFAULT = 90

# --- Tokens and enrolment codes -------------------------------------------------------------------------------------
API_TOKEN_NAME_LENGTH = 100
API_TOKEN_DAYS = 3650
ENROLMENT_USES = 10_000
ENROLMENT_HOURS = 24 * 365
IDEMPOTENCY_KEY_LENGTH = 200

# --- What an endpoint reports ---------------------------------------------------------------------------------------
AGENT_VERSION_LENGTH = 32
PACKAGE_NAME_LENGTH = 255
REPOSITORIES = 100
REPOSITORY_NAME_LENGTH = 255
MIRRORS_TAKEN = 1000
# The first ones of a long mirrorlist: pacman asks them in this order, and few machines ever get further.
MIRRORS_KEPT = 20
MIRROR_LENGTH = 2000
PROBLEMS = 20
PROBLEM_NAMES = 100
PROBLEM_CODE_LENGTH = 50
PROBLEM_TEXT_LENGTH = 1000
TRUSTED_KEYS = 50
PROTECTED_ROLES = 20
PROTECTED_NAMES = 100
ROLE_LENGTH = 50
ROLE_REASON_LENGTH = 1000

# --- What an agent says of an operation -----------------------------------------------------------------------------
PHASE_LENGTH = 30
PROGRESS_HOSTS = 4
PROGRESS_WAITING_LENGTH = 500
HOOK_TEXT_LENGTH = 500
# Every reader of JSON has it exactly (RFC 8259, section 6).
PROGRESS_NUMBER = 2**53 - 1
RESULT_CODE_LENGTH = 100
RESULT_MESSAGE_LENGTH = 2000
HINT_LENGTH = 1000
# An agent may send a longer log than is kept: its end says what went wrong.
LOG_TAIL_TAKEN = 65_536
LOG_TAIL_KEPT = 16_000
