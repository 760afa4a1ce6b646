"""The one exception type a user is meant to read."""


class AlignsecError(Exception):
    """Bad input or an impossible request.

    The message names the file, the row and the key at fault and the remedy; the command-line program prints
    it without a traceback. Anything else that is raised is a bug of ours and shows its traceback.
    """
