"""Workflows 01 to 05 and 07, which run on a fresh ComfyUI with this pack alone."""

from __future__ import annotations

from dev.workflows.parts import (
    BLUE,
    FIXED,
    GREEN,
    HELP,
    MODEL,
    ORANGE,
    REAL_RESULTS,
    RED,
    SOURCES,
    TREPA,
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
    select_faces,
    text,
)

QUICK = Workflow(
    "01 Quick lip sync",
    text(
        "Quick lip sync",
        "A clip and a voice go in, the same clip comes out with its mouth following the voice. One node does it all.",
        """
1. Press **Run**. A rendered woman who speaks French in the sample scene is dubbed into English.
2. The result plays on both nodes on the right. *Save Video* keeps it in the output folder.
""",
        SOURCES,
        REAL_RESULTS,
        """
- *quality* *recommended* samples with the model's own settings. With *custom*, the node's *steps* and *cfg* are used:
   fewer steps are faster, and *cfg* 1.0, without audio guidance, is twice as fast as 1.5.
- *length* decides what happens where clip and voice differ in length.
""",
        "For several takes of a voice use **02 Lip sync, full control**, which finds the faces only once. " + HELP,
    ),
    [
        [
            Group("1  Clip and voice", GREEN, [[scene()]]),
            Group(
                "2  Lip sync",
                BLUE,
                [
                    [
                        Node(
                            "lips",
                            "LatentSyncDubLipSync",
                            {"clip": "scene.scene", "audio": "scene.english_voice"},
                            {"model": MODEL, **FIXED},
                            width=360,
                        )
                    ]
                ],
            ),
            Group("3  Result", RED, [[save("quick", "lips.video")]]),
        ]
    ],
    (440, 520),
)

FULL = Workflow(
    "02 Lip sync, full control",
    text(
        "Full control",
        "The same job in five stages. Each keeps its result until something above it changes.",
        """
1. **Prepare Faces** finds the face in every frame. Check its picture: is it the right face, well inside the box?
2. **Embed Audio** computes the voice's features. Another take repeats this stage and those after it, not the first.
3. **TREPA Settings** control temporal consistency; *overlap* and *noise_sharing* are explained in its help.
4. **Sampler** generates the mouths, with a live preview.
5. **Composite** pastes them into the clip's frames and adds the audio. Another *feather* repeats only this stage.
""",
        SOURCES,
        REAL_RESULTS,
        """
Composite itself saves *prores* and *ffv1*, in the output folder. *matte* and *patch* are for compositing programs.
Connect a full mix to *mux_audio*: the lips follow the voice, the film gets the mix.
""",
        HELP,
    ),
    [
        [
            Group("1  Clip, voice, model", GREEN, [[scene(), load_model()]]),
            Group(
                "2  Faces and voice",
                BLUE,
                [[prepare_faces("scene.scene"), embed_audio("scene.english_voice")]],
            ),
            Group("3  New mouths", VIOLET, [[TREPA, sampler()]]),
            Group("4  Into the clip", RED, [[composite(), save("full")]]),
        ]
    ],
    (460, 600),
)

RESTORE = Workflow(
    "03 Lip sync with restored faces",
    text(
        "Restore faces",
        """
The generated faces leave as square images, any restorer or upscaler works on them, and they return before
compositing.
""",
        """
1. **Decode Faces** returns one image for every frame that shows the face.
2. **Upscale Image By** (core) stands for the restorer here. It needs no download and adds no detail.
3. **Replace Faces** takes the images back: the same number, in the same order, square, all of one size.
4. In **Composite**, *region* is *face*, since a restorer changes the skin as well. Choose *mouth* to leave the skin
   unchanged.
""",
        """
**Replace it with** *Load Upscale Model* with *Upscale Image (using Model)* of core; ReActor's *Restore Face* (it
works frame by frame: a visibility of 0.5 to 0.8 flickers less); or SeedVR2's upscaler, which looks at neighbouring
frames too.
""",
        SOURCES,
        REAL_RESULTS,
        """
These images are in memory: 1000 faces of 512 px take 3 GB, at twice the size 12 GB. Process long films in parts.
""",
        HELP,
    ),
    [
        [
            Group("1  Clip, voice, model", GREEN, [[scene(), load_model(), embed_audio("scene.english_voice")]]),
            Group("2  Faces and new mouths", BLUE, [[prepare_faces("scene.scene")], [sampler(trepa=False)]]),
            Group(
                "3  Restore",
                ORANGE,
                [
                    [
                        Node("decode", "LatentSyncDubDecodeFaces", {"synced": "sampler.synced"}),
                        Node(
                            "restore",
                            "ImageScaleBy",
                            {"image": "decode.crops"},
                            {"upscale_method": "lanczos", "scale_by": 1.5},
                            title="Upscale Image By (your restorer here)",
                        ),
                        Node(
                            "replace",
                            "LatentSyncDubReplaceFaces",
                            {"synced": "sampler.synced", "crops": "restore.IMAGE"},
                        ),
                    ]
                ],
            ),
            Group("4  Into the clip", RED, [[composite("replace.synced", region="face"), save("restored")]]),
        ]
    ],
    (460, 640),
)

STILL = Workflow(
    "04 Lip sync a still image",
    text(
        "Still image to talking video",
        "One picture of a face, held for as long as the voice lasts, its mouth speaking.",
        """
1. The picture goes into **Prepare Faces** as a clip of one frame. *fps* there is the frame rate of the video to come.
2. In the **Sampler**, *length* is *hold*: the frame stays until the voice ends.
3. If no face is found, for example in an animated picture, mark it in *marks*: its help has the format.
""",
        """
**With your own picture:** replace *LatentSync Sample Scene* with *Load Image* and *Load Audio*. Only the mouth moves:
for nods and blinks start from a clip of a silent person, with *length* on *ping-pong*.
""",
        REAL_RESULTS,
        HELP,
    ),
    [
        [
            Group("1  Picture, voice, model", GREEN, [[scene(), load_model(), embed_audio("scene.english_voice")]]),
            Group("2  The face", BLUE, [[prepare_faces("scene.portrait", square=True, fps=25.0)]]),
            Group("3  Its mouths", VIOLET, [[sampler(trepa=False, length="hold")]]),
            Group(
                "4  Video",
                RED,
                [[composite(square=True), save("talking picture", square=True)]],
            ),
        ]
    ],
    (460, 560),
)

DUB = Workflow(
    "05 Lip sync a film, your own English recording",
    text(
        "Film dub with your own English recording",
        """
Dubs a French, German, Italian or Spanish scene into English: the mouth follows your recording, and the film gets that
recording over its music and effects.
""",
        """
1. **Film:** replace *LatentSync Sample Scene*, whose scene is in French, with *Load Video*.
2. **Voice:** *Load Audio* with the English recording: dry, without music, in sync with the film from its first
   frame.
3. **Music and effects:** *Load Audio* with the M&E track. Without one, remove the voice from the film's audio as
   workflow **06** does.
4. The two level nodes are the mix, in decibels. In *Merge Audio* the **music and effects stay on
   *audio1***: the first input decides how long the mix is.
5. **Composite** gets the mix as *mux_audio*. The lips follow the dry voice alone.
""",
        REAL_RESULTS,
        """
Only the mouth is changed before encoding, and every frame keeps its time. *h264* and *prores* are lossy, *ffv1* is
lossless. For an editing program choose *prores* in Composite (it saves the file itself), with *matte* and *patch* if
you composite the mouth there.
""",
        "If you re-record a line, face detection is not repeated. " + HELP,
    ),
    [
        [
            Group("1  Film, voice, music and effects", GREEN, [[scene(), load_model()]]),
            Group("2  Faces and voice", BLUE, [[prepare_faces("scene.scene"), embed_audio("scene.english_voice")]]),
            Group("3  New mouths", VIOLET, [[TREPA, sampler()]]),
            Group(
                "4  Mix",
                ORANGE,
                [
                    [
                        Node(
                            "music_level",
                            "AudioAdjustVolume",
                            {"audio": "scene.music_and_effects"},
                            {"volume": -3},
                            title="Music and effects level",
                        ),
                        Node(
                            "voice_level",
                            "AudioAdjustVolume",
                            {"audio": "scene.english_voice"},
                            {"volume": -3},
                            title="English voice level",
                        ),
                        Node(
                            "mix",
                            "AudioMerge",
                            {"audio1": "music_level.AUDIO", "audio2": "voice_level.AUDIO"},
                            {"merge_method": "add"},
                        ),
                        Node("listen", "PreviewAudio", {"audio": "mix.AUDIO"}, title="The mix"),
                    ]
                ],
            ),
            Group("5  The English film", RED, [[composite(mix="mix.AUDIO"), save("dub")]]),
        ]
    ],
    (480, 700),
)

TWO = Workflow(
    "07 Lip sync two speakers",
    text(
        "Two speakers",
        "Two people in one scene, each with a voice of their own; cuts and close-ups included.",
        """
1. **Prepare Faces** finds all faces, shot by shot. It runs once for both speakers.
2. The two **Select Faces** show all people by letter. One is set to *person* 0, who is A, the other to 1, who is B.
3. Each voice goes through an **Embed Audio** and a **Sampler** of its own.
4. **Composite** takes both samplers: *synced* and *synced_2*. Without a mix on *mux_audio* the file gets both voices.
""",
        """
**With your own film:** replace *LatentSync Sample Scene* with *Load Video* and a *Load Audio* for each voice. Each
voice must be as long as the film, and silent while the other person speaks.
""",
        """
**Wrong person?** Choose by *point* or *picture* instead of the number, or name single tracks in *tracks_on* and
*tracks_off*. A third and a fourth speaker: copy a row, and connect it to *synced_3* and *synced_4*.
""",
        REAL_RESULTS,
        HELP,
    ),
    [
        [
            Group(
                "1  Scene, voices, model",
                GREEN,
                [
                    [
                        scene(),
                        load_model(),
                        embed_audio("scene.her_english_voice", "her_voice", "Embed Audio: her"),
                        embed_audio("scene.his_english_voice", "his_voice", "Embed Audio: him"),
                    ]
                ],
            ),
            Group(
                "2  Who",
                BLUE,
                [
                    [prepare_faces("scene.two_people")],
                    [
                        select_faces("her", "Select Faces: her", by="person", person=0),
                        select_faces("him", "Select Faces: him", by="person", person=1),
                    ],
                ],
            ),
            Group(
                "3  New mouths",
                VIOLET,
                [
                    [
                        sampler(False, "her_mouth", "her", "her_voice", "Sampler: her"),
                        sampler(False, "his_mouth", "him", "his_voice", "Sampler: him"),
                    ],
                ],
            ),
            Group(
                "4  Into the clip",
                RED,
                [[composite("her_mouth.synced", second_synced="his_mouth.synced"), save("two speakers")]],
            ),
        ],
    ],
    (460, 640),
    first=("scene", "model", "faces", "her", "him"),
)
