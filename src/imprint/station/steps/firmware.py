"""Getting an image to run on the unit."""

from typing import Literal

from imprint.formats.mcuboot import parse
from imprint.station.run import Run
from imprint.station.steps.step import Options
from imprint.station.targets.target import ImageSlot


class LoadOptions(Options):
    """``image``: which of the lot's two images."""

    image: Literal["diagnostic", "production"]


async def load_firmware(run: Run, options: LoadOptions) -> str:
    """Make the unit run the image; the unit's boot loader decides whether it may."""
    image = image_of(run, options.image)
    wanted = parse(image).image_hash
    running = _active(await run.target.images(), wanted)
    if running is None:
        await _bring(run, image, wanted)
        identity = await run.restart()
        running = _active(await run.target.images(), wanted)
        if running is None:
            reason = identity.boot_error or "it does not say why"
            raise run.fail(f"the unit does not start the {options.image} image: {reason}")
    if not running.confirmed:
        await run.target.confirm(wanted)
    return f"{options.image} {running.version}"


def image_of(run: Run, name: str) -> bytes:
    """The lot's image of this name."""
    image = run.package.firmware if name == "production" else run.package.diagnostic
    if image is None:
        raise AssertionError("a recipe is checked against its lot before the first run")
    return image


async def _bring(run: Run, image: bytes, wanted: bytes) -> None:
    """Put the image into a slot from which the next boot takes it."""
    if wanted not in _hashes(await run.target.images()):
        shown = -1

        def progress(offset: int) -> None:
            nonlocal shown
            if (percent := offset * 10 // len(image)) != shown:
                shown = percent
                run.report(f"{percent * 10} % of {len(image) // 1024} KiB")

        await run.target.upload(image, progress)
    slot = next((slot for slot in await run.target.images() if slot.hash == wanted), None)
    if slot is None:
        raise run.fail("the unit took the image, but does not show it", next_step="Look at its flash")
    await run.same_unit()
    if slot.slot != 0 and not slot.pending:
        await run.target.mark_pending(wanted)


def _active(slots: tuple[ImageSlot, ...], wanted: bytes) -> ImageSlot | None:
    return next((slot for slot in slots if slot.active and slot.hash == wanted), None)


def _hashes(slots: tuple[ImageSlot, ...]) -> set[bytes]:
    return {slot.hash for slot in slots}
