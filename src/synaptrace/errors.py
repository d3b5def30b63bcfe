"""The one error a user can mend: bad input, a bad option, a file that is not what it should be."""


class UserError(ValueError):
    """One clear line that names the file or key and says what to do; the command line exits 2."""
