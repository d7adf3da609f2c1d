"""From a decoded picture to the Frame that leaves the room."""

from __future__ import annotations

from zlib import crc32

from av.video.frame import VideoFrame

from monitor.capture.converting import Converter, halvings, plane, squeezed
from monitor.clock import Stamp
from monitor.config import CameraConfig, ViewKind
from monitor.imaging.scene import measure
from monitor.imaging.views import stretch
from monitor.imaging.zones import black_out, cut_zones
from monitor.messages import WHOLE_FRAME, Cut, Frame, Picture


class Composer:
    """Makes the Frames of one camera, numbered from 0.

    Privacy masks are blacked out before anything else is done with a picture. The zones are cut
    from a picture as large as they need; the one that goes along is made when somebody asks for
    it, in full resolution up to `max_side` pixels.
    """

    def __init__(self, camera: str, config: CameraConfig, max_side: int) -> None:
        self._camera = camera
        self._config = config
        self._max_side = max_side
        self._converter = Converter()
        self._sequence = 0
        self._first_shows_all = not config.zones and config.view in (
            ViewKind.STRETCH,
            ViewKind.TILES,
        )

    def compose(self, decoded: VideoFrame, stamp: Stamp, pts: float | None) -> Frame:
        """The Frame of a decoded picture taken at `stamp`; `pts` in seconds."""
        cuts, whole = self._cut(decoded)
        frame = Frame(
            self._camera,
            self._sequence,
            stamp,
            pts,
            cuts,
            lambda: self._shown(decoded),
            measure(whole, cuts),
        )
        self._sequence += 1
        return frame

    def _cut(self, decoded: VideoFrame) -> tuple[tuple[Cut, ...], Picture]:
        """The zones, cut, and all of the picture for the scene's measures."""
        patches = squeezed(decoded, self._config)
        if patches is not None:
            return (Cut(WHOLE_FRAME, patches),), patches[0]
        often = halvings(*_upright_size(decoded), self._config)
        picture = black_out(self._converter.reduced(decoded, often), self._config.privacy_masks)
        cuts = cut_zones(picture, self._config)
        return cuts, cuts[0].patches[0] if self._first_shows_all else picture

    def _shown(self, decoded: VideoFrame) -> Picture:
        """May be asked for in any thread, hence a converter of its own."""
        picture = black_out(Converter().full(decoded), self._config.privacy_masks)
        return shrink(picture, self._max_side)


def _upright_size(decoded: VideoFrame) -> tuple[int, int]:
    on_its_side = round(decoded.rotation / 90) % 2
    size = decoded.width, decoded.height
    return size[::-1] if on_its_side else size


def fingerprint(picture: VideoFrame) -> int:
    """A number that tells a picture from all others, from every sixteenth row of its first plane.

    A live camera's noise changes it with every picture, however still the scene is. Only the
    very same picture, bit by bit, gives the same number.
    """
    rows = plane(picture, 0)[: picture.height : 16, : picture.width]
    return crc32(rows.tobytes())


def shrink(picture: Picture, max_side: int) -> Picture:
    """`picture` with its longer side at most `max_side` pixels; itself if it is small enough.

    By the views' own resize: area averaging 1080p to 1280 pixels takes three times as long, and
    with 5 frames a second a third of what decoding takes.
    """
    height, width = picture.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1.0:
        return picture
    return stretch(picture, max(1, round(width * scale)), max(1, round(height * scale)))
