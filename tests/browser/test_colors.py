"""Wires of our types have a colour each, in the page, also after a palette that knows nothing of them was chosen."""

from __future__ import annotations

WIRE_COLORS = """() => Object.fromEntries(
    Object.entries(app.canvas.constructor.link_type_colors).filter(([type]) => type.startsWith("LATENTSYNC_")))"""


def test_every_one_of_our_types_has_a_colour_of_its_own(page):
    page.add("LatentSyncDubSampler", at=(0, 0))
    colors = page.page.evaluate(WIRE_COLORS)
    assert len(colors) == len(set(colors.values())) == 6
    assert all(color.startswith("#") for color in colors.values())
    assert page.page.evaluate("() => app.canvas.default_connection_color_byType.LATENTSYNC_FACES") in colors.values()


def test_a_palette_that_cleared_the_colours_loses_them_until_the_next_graph(page):
    before = page.page.evaluate(WIRE_COLORS)
    page.page.evaluate("""() => {
        for (const type of Object.keys(app.canvas.constructor.link_type_colors))
            if (type.startsWith("LATENTSYNC_")) app.canvas.constructor.link_type_colors[type] = "";
    }""")
    page.page.evaluate("async () => await app.loadGraphData(app.graph.serialize())")
    assert page.page.evaluate(WIRE_COLORS) == before
