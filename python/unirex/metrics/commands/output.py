"""Where a result goes."""

from unirex.disk.atomic import atomic_write


def save(output: str | None, text: str) -> None:
    """Writes text and a line end to the file `output`, whole or not at all; nothing for None.

    Raises:
        OSError: it cannot be written; the message names `output` itself, not the temporary file.

    >>> save("/nowhere/scores.json", "{}")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/scores.json'
    """
    if output is None:
        return
    try:
        with atomic_write(output, "w") as file:
            file.write(text + "\n")
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, output) from error
