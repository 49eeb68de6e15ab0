"""Workflow 12: who speaks is found by the scene's own sound, and one dubbed track reaches both mouths."""

from __future__ import annotations

from dev.workflows.parts import (
    BLUE,
    GREEN,
    HELP,
    REAL_RESULTS,
    RED,
    VIOLET,
    Group,
    Node,
    Workflow,
    composite,
    embed_audio,
    load_model,
    prepare_faces,
    sampler,
    save,
    scene,
    text,
)

FOUND_SPEAKERS = Workflow(
    "12 Lip sync two speakers, found by themselves",
    text(
        "Two speakers, found by themselves",
        "Two people in one scene, one dubbed track: each mouth follows it only while its own person speaks.",
        """
1. **Prepare Faces** finds all faces, shot by shot.
2. **Speakers to Faces** compares the scene's own sound with the filmed mouths. Its sheet and text show who speaks when;
   its second output is a timeline.
3. **Merge Audio** puts both English voices into one track. **Sampler** and **Composite** change the speaker's mouth;
   the listener's stays as filmed.
""",
        """
**With your own film:** replace *LatentSync Sample Scene* with *Load Video* and *Load Audio*, and leave *Merge Audio*
out if the dub is one track already. The dubbed lines must lie where the original ones do. Where the clip has no voices
of its own, connect them to *original_audio*.
""",
        """
**Wrong person?** Copy the lines of the *speakers* output into *people*, and change them: `person A = B`, or
`person A = off` for a speaker who is never shown. Speech of an uncertain speaker changes no mouth.
""",
        REAL_RESULTS,
        "For a voice of their own for each speaker, with chosen faces, see **07 Lip sync two speakers**. " + HELP,
    ),
    [
        [
            Group(
                "1  Scene, voices, model",
                GREEN,
                [
                    [
                        scene(),
                        Node(
                            "dub",
                            "AudioMerge",
                            {"audio1": "scene.her_english_voice", "audio2": "scene.his_english_voice"},
                            {"merge_method": "add"},
                            title="Merge Audio: both voices",
                        ),
                        load_model(),
                    ]
                ],
            ),
            Group(
                "2  Who speaks",
                BLUE,
                [
                    [prepare_faces("scene.two_people")],
                    [
                        Node("who", "LatentSyncDubSpeakersToFaces", {"faces": "faces.faces"}, width=440),
                        Node("timeline", "PreviewImage", {"images": "who.timeline"}, title="Timeline", width=440),
                    ],
                ],
            ),
            Group("3  New mouths", VIOLET, [[embed_audio("dub.AUDIO"), sampler(False, faces="who")]]),
            Group("4  Into the clip", RED, [[composite(), save("found speakers")]]),
        ],
    ],
    (460, 640),
)
