"""docs/server.md: its example answers, and refuses what strangers send."""

import asyncio
import io
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from imgcodec.format import container

PAGE = Path(__file__).parents[1] / "docs" / "server.md"
(CODE,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def server(tiny_weights):
    """The example's names; a smaller model stands in for the shipped one."""
    code = CODE.replace("imgcodec.Codec(", "imgcodec.Codec(weights=WEIGHTS, ")
    assert code != CODE
    names = {"WEIGHTS": tiny_weights}
    limit = Image.MAX_IMAGE_PIXELS
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - the page is ours
    yield names
    Image.MAX_IMAGE_PIXELS = limit


@pytest.fixture(scope="module")
def client(server):
    """Post a body to each of some paths at once, and return the answers."""
    loop = asyncio.new_event_loop()

    async def ask(*calls):
        transport = httpx.ASGITransport(server["app"])
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await asyncio.gather(*(client.post(path, content=data) for path, data in calls))

    yield lambda *calls: loop.run_until_complete(ask(*calls))
    loop.close()


@pytest.fixture
def png(textured):
    file = io.BytesIO()
    Image.fromarray(textured(40, 48)).save(file, "PNG")
    return file.getvalue()


def test_the_example_is_short():
    assert len([line for line in CODE.splitlines() if line.strip()]) <= 40


def test_there_and_back(server, client, png):
    (coded,) = client(("/encode?quality=60", png))
    assert (coded.status_code, coded.headers["content-type"]) == (200, "image/x-aic")
    image = np.array(Image.open(io.BytesIO(png)))
    assert coded.content == server["codec"].encode(image, quality=60)
    (back,) = client(("/decode", coded.content))
    assert (back.status_code, back.headers["content-type"]) == (200, "image/png")
    pixels = np.array(Image.open(io.BytesIO(back.content)))
    assert np.array_equal(pixels, server["codec"].decode(coded.content))


def test_many_at_a_time(client, png):
    (alone,) = client(("/encode", png))
    found = client(*[("/encode", png)] * 16)
    assert [answer.content for answer in found] == [alone.content] * 16


def test_what_strangers_send_is_refused(server, client, png):
    coded = client(("/encode", png))[0].content
    claim = container.pack(
        container.Header(5000, 4001, 3, 1, 9, 64, server["codec"].model_id), [b""] * 2
    )
    bomb = io.BytesIO()
    Image.new("1", (5000, 4001)).save(bomb, "PNG")
    for path, data, status in (
        ("/encode", b"no picture", 422), ("/encode", png[:-30], 422), ("/encode", b"", 422),
        ("/encode?quality=101", png, 422), ("/encode?quality=nan", png, 422),
        ("/encode", bomb.getvalue(), 422),
        ("/encode", b"DDS \x7c\0\0\0" + bytes(200), 422),
        ("/encode", b"\x01\xda" + bytes(600), 422),
        ("/decode", png, 422), ("/decode", coded[:-1], 422), ("/decode", claim, 422),
        ("/decode", bytes(server["MOST_BYTES"] + 1), 413),
    ):  # fmt: skip
        (answer,) = client((path, data))
        assert answer.status_code == status, (path, data[:20], answer.content)
        assert answer.json()["detail"]
        assert " object at " not in answer.json()["detail"]
    assert client(("/decode", coded))[0].status_code == 200
