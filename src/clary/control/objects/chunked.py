"""The framing ``aws-chunked``: pieces with their length (and signature) before them, then trailing headers.

    <hex length>[;chunk-signature=<hex>] CR LF <bytes> CR LF ...
    0[;chunk-signature=<hex>] CR LF [name:value CR LF]... CR LF

Sent with x-amz-content-sha256 STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD and the like.
Lengths are always checked, signatures of the pieces where the platform asks for signatures (wire.chunk_signatures).
"""

from __future__ import annotations

from clary.control.wire.chunk_signatures import ChunkSignatures
from clary.control.wire.errors import ServiceError

__all__ = ["ChunkedDecoder"]

LINE_LIMIT = 8192
TRAILER_LIMIT = 32


class ChunkedDecoder:
    """Feed it the body in any pieces; it gives the content back. ``trailers`` are complete when ``finished``."""

    def __init__(self, signatures: ChunkSignatures | None = None) -> None:
        self._signatures = signatures
        self.finished = False
        self.trailers: dict[str, str] = {}
        self._line = bytearray()
        self._left = 0  # content bytes of the current piece still to come
        self._expect = self._length  # what the next line is
        self._in_content = False

    def feed(self, data: bytes) -> bytes:
        """The content in ``data``. Raises ServiceError when it breaks the framing or goes on after its end.

        A piece is given out before its signature is known to be true: only ``finished`` says that all are.
        """
        content: list[bytes] = []
        position = 0
        while position < len(data):
            # Bytes after the end are not the object's. Left alone they would be taken for the next request.
            if self.finished:
                raise _broken("bytes follow the end of the body")
            if self._in_content:
                piece = data[position : position + self._left]
                content.append(piece)
                self._left -= len(piece)
                position += len(piece)
                self._in_content = self._left > 0
                if self._signatures:
                    self._signatures.update(piece)
                    if not self._in_content:
                        self._signatures.end()
            else:
                position = self._take_line(data, position)
        return b"".join(content)

    def _take_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        # A line may come in two pieces: the server cuts the body wherever the network did.
        self._line += data[position : end + 1 if end >= 0 else len(data)]
        if len(self._line) > LINE_LIMIT:
            raise _broken("a line is too long")
        if end < 0:
            return len(data)
        line = bytes(self._line)
        self._line.clear()
        if not line.endswith(b"\r\n"):
            raise _broken("a line ends without CR LF")
        self._expect(line[:-2])
        return end + 1

    def _length(self, line: bytes) -> None:
        # int() would also take "+5", "0x5" and "1_0". What one reader of a frame takes and another does not is how
        # requests are smuggled.
        digits, _, extension = line.partition(b";")
        if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
            raise _broken(f"{line[:40]!r} is no length of a chunk")
        self._left = int(digits, 16)
        self._in_content = self._left > 0
        self._expect = self._piece_end if self._in_content else self._trailer
        if self._signatures:
            self._signatures.begin(extension)
            if not self._in_content:
                self._signatures.end()

    def _piece_end(self, line: bytes) -> None:
        if line:
            raise _broken("a chunk is longer than its length says")
        self._expect = self._length

    def _trailer(self, line: bytes) -> None:
        if not line:
            if self._signatures:
                self._signatures.finish(self.trailers)
            self.finished = True
            return
        name, colon, value = line.partition(b":")
        if not colon or len(self.trailers) >= TRAILER_LIMIT:
            raise _broken(f"{line[:40]!r} is no trailing header")
        self.trailers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()


def _broken(why: str) -> ServiceError:
    return ServiceError("InvalidRequest", f"The body does not follow the aws-chunked framing: {why}")
