"""Workflows 08 to 11: dubbing by lines, from subtitles, voice first, with F5-TTS or E2, and with core's nodes only."""

from __future__ import annotations

from dev.workflows.cloned_voice import SEPARATION, TEXT_WIDTH, translation
from dev.workflows.parts import (
    BLUE,
    BYPASSED,
    FIXED,
    GREEN,
    HELP,
    MUTED,
    ORANGE,
    REAL_RESULTS,
    RED,
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
    text,
)
from latentsync_core.dubbing.lines.dialogue import DialogueLine, exact_seconds
from latentsync_core.dubbing.lines.line_formats import write_lines
from latentsync_core.sample_scene import LINES

CONSENT = "**Clone a voice, and change a mouth, only with the consent of the person they belong to.**"
ENGLISH = write_lines([DialogueLine(exact_seconds(one.start), exact_seconds(one.end), one.english) for one in LINES])
SPOKEN_SAMPLE = " ".join(one.french for one in LINES[:2])
LINES_HEIGHT = 200  # pixels, of a text of three cues
MASK_MODEL = "sam3.1_multiplex_fp16.safetensors"
RESTORER, RESTORER_VAE = "seedvr2_3b_int8_convrot.safetensors", "seedvr2_ema_vae_fp16.safetensors"
TOO_LONG = """
- A line *is too long*: shorten its words. *max_tempo* above 1.4 sounds hurried.
"""


def dialogue(key: str, title: str, words: str = "", source: str = "", video: str = "scene.scene") -> Node:
    """Dialogue Lines with a text, or with what another node wrote."""
    inputs = {"video": video} | ({"text": source} if source else {})
    widgets = {} if source else {"text": words}
    return Node(
        key, "LatentSyncDubDialogueLines", inputs, widgets, title, display_height=LINES_HEIGHT, width=TEXT_WIDTH
    )


def place_lines(sounds: str, lines: str = "lines", **inputs: str) -> Node:
    linked = {"lines": f"{lines}.lines", "sounds": sounds, "video": "scene.scene", **inputs}
    return Node("place", "LatentSyncDubPlaceLines", linked, width=TEXT_WIDTH)


def voice_check(key: str, voice: str, title: str = "", clip: bool = True, **widgets: object) -> Node:
    inputs = {"audio": voice} | ({"video": "scene.scene"} if clip else {})
    return Node(key, "LatentSyncDubVoiceCheck", inputs, widgets, title, width=TEXT_WIDTH)


def mix_dub(dub: str, background: str, original: str = "sound.audio") -> Node:
    inputs = {"dub": dub, "background": background, "original": original}
    return Node("mix", "LatentSyncDubMixDub", inputs, {"loudness": "original"})


def sound() -> Node:
    return Node("sound", "LatentSyncDubClipAudio", {"video": "scene.scene"})


MASK = [
    [
        Node("frames", "GetVideoComponents", {"video": "scene.scene"}, mode=MUTED),
        Node("sam", "CheckpointLoaderSimple", widgets={"ckpt_name": MASK_MODEL}, mode=MUTED),
        Node("what", "CLIPTextEncode", {"clip": "sam.CLIP"}, {"text": "hand, cup"}, mode=MUTED),
    ],
    [
        Node(
            "track",
            "SAM3_VideoTrack",
            {"images": "frames.images", "model": "sam.MODEL", "conditioning": "what.CONDITIONING"},
            mode=MUTED,
        ),
        Node("mask", "SAM3_TrackToMask", {"track_data": "track.track_data"}, mode=MUTED),
    ],
]
SUBTITLES = Workflow(
    "08 Lip sync dialogue from subtitles",
    text(
        "Dialogue from subtitles",
        "Each subtitle is spoken, fitted to its time, mixed with the scene's sound, and synced.",
        """
1. **Lines.** *Dialogue Lines* holds the English subtitles, as SRT. Edit them there, or choose a *file*; its checks name
   the line that can't be right.
2. **One sound for each line.** Here one finished dub of the scene stands in, with its own times in *dub_lines*. For a
   speech synthesis, connect *texts* to its text (it runs once for each line), its sound to *sounds*, and disconnect
   *dub_lines*.
3. **Place Lines** trims silence and stretches speech at its own pitch; it reports which lines don't fit.
4. **Voice Check** plays the voice and lists what is wrong with it, before anything is generated.
5. **Speakers to Faces** finds who speaks in the scene's own sound: only that mouth follows the voice.
6. The mouth follows the dry voice; **Mix Dub Audio** makes the film's sound, as loud as the original was.
7. **One line again.** Each line is sampled by itself: change its words or sound and run again, and the others are kept.
   With *codec* on prores, dnxhr or ffv1, Composite encodes that line's frames alone.
""",
        """
**Something in front of the face?** Composite detects occlusions by itself. Where that fails, select the nodes of the
muted group and press **Ctrl+M**: SAM3 masks what *hand, cup* names. It needs *sam3.1_multiplex_fp16.safetensors* in
models/checkpoints, and holds all frames in memory.
""",
        """
**When something goes wrong**

- *can't speak two lines at once*: two people talk; write **[Anna]:** and **[Bo]:** before their words.
- *the clip ends at ...*: the subtitles are those of another cut.
- *no one is shown speaking*: give the voices as filmed to *original_audio*, or leave *Speakers to Faces* out.
"""
        + TOO_LONG.strip("\n"),
        REAL_RESULTS,
        CONSENT + " " + HELP,
    ),
    [
        [
            Group("1  Film, lines, model", GREEN, [[scene(), sound(), load_model()]]),
            Group(
                "2  Lines and their voice",
                VIOLET,
                [
                    [
                        dialogue("lines", "Dialogue Lines: the film's times", ENGLISH),
                        dialogue("dub_lines", "Dialogue Lines: their times in the dub", ENGLISH),
                    ],
                    [
                        place_lines("scene.english_voice", dub_lines="dub_lines.lines"),
                        voice_check("check", "place.voice"),
                        mix_dub("check.audio", "scene.music_and_effects"),
                    ],
                ],
            ),
            Group("3  LatentSync", BLUE, [[prepare_faces("scene.scene"), embed_audio("check.audio")]]),
            Group(
                "4  New mouths",
                BLUE,
                [
                    [Node("who", "LatentSyncDubSpeakersToFaces", {"faces": "faces.faces"}, width=400), TREPA],
                    [sampler(faces="who", lines="lines")],
                ],
            ),
        ],
        [
            Group("In front of the face (muted: Ctrl+M)", ORANGE, MASK),
            Group("5  The film", RED, [[composite(mix="mix.mix", foreground="mask.masks")], [save("subtitles")]]),
        ],
    ],
    (480, 1090),
)

RESTORE_FACES = [
    [
        Node("decode", "LatentSyncDubDecodeFaces", {"synced": "sampler.synced"}, mode=BYPASSED),
        Node(
            "larger",
            "ImageScaleBy",
            {"image": "decode.crops"},
            {"upscale_method": "lanczos", "scale_by": 1.5},
            mode=BYPASSED,
        ),
        Node("padded", "SeedVR2Preprocess", {"resized_images": "larger.IMAGE"}, mode=BYPASSED),
        Node("seedvr", "UNETLoader", widgets={"unet_name": RESTORER}, mode=BYPASSED),
        Node("vae", "VAELoader", widgets={"vae_name": RESTORER_VAE}, mode=BYPASSED),
    ],
    [
        Node("encode", "VAEEncodeTiled", {"pixels": "padded.images", "vae": "vae.VAE"}, mode=BYPASSED),
        Node(
            "condition",
            "SeedVR2Conditioning",
            {"model": "seedvr.MODEL", "vae_conditioning": "encode.LATENT"},
            mode=BYPASSED,
        ),
        Node(
            "restore",
            "KSampler",
            {
                "model": "seedvr.MODEL",
                "positive": "condition.positive",
                "negative": "condition.negative",
                "latent_image": "encode.LATENT",
            },
            {**FIXED, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0},
            mode=BYPASSED,
        ),
    ],
    [
        Node("decoded", "VAEDecodeTiled", {"samples": "restore.LATENT", "vae": "vae.VAE"}, mode=BYPASSED),
        Node(
            "restored",
            "SeedVR2PostProcessing",
            {"images": "decoded.IMAGE", "original_resized_images": "larger.IMAGE"},
            mode=BYPASSED,
        ),
        Node(
            "replace",
            "LatentSyncDubReplaceFaces",
            {"synced": "sampler.synced", "crops": "restored.images"},
            mode=BYPASSED,
        ),
    ],
]
VOICE_FIRST = Workflow(
    "09 Lip sync voice first, regenerate until right, then sync",
    text(
        "Voice first",
        "A cloned voice is seldom right at once. Here nothing is generated until you say that it is.",
        """
1. **The voice.** Put your speech synthesis in the place of *LatentSync Sample Scene*'s English voice, its seed on
   *randomize*.
2. While **Is the voice right?** has *pass_on* on *never*, **Run** makes the voice, lists its faults and plays it; no
   mouth is generated. Run again for another take. The faces are found meanwhile, once.
3. When it is right, set the synthesis' seed to *fixed*, so that the take is kept, and *pass_on* to *always*. **Run**
   now generates the mouths and saves the film.
""",
        """
*without a fault* goes on by itself with the first take in which no fault is found.
""",
        """
**Faces too soft?** Select *Restore with SeedVR2* (bypassed) and press **Ctrl+B**, and set Composite's *region* to
*face*.
It needs *seedvr2_3b_int8_convrot.safetensors* in models/diffusion_models and *seedvr2_ema_vae_fp16.safetensors* in
models/vae. All faces of the clip are in memory: process long scenes in parts.
""",
        """
**When something goes wrong**

- *short*: less than 5 s of speech; right for a short line, too little to clone a voice from.
- *length*: the voice isn't as long as the film. Lay its lines on the film's times, as workflow 08 does.
- *leading silence*: right if the actor is silent then.
""",
        REAL_RESULTS,
        CONSENT + " " + HELP,
    ),
    [
        [
            Group("1  Film, voice, model", GREEN, [[scene(), load_model()]]),
            Group(
                "2  The voice, until it is right",
                ORANGE,
                [
                    [voice_check("check", "scene.english_voice", "Is the voice right?", pass_on="never")],
                ],
            ),
            Group("3  Faces and voice", BLUE, [[prepare_faces("scene.scene"), embed_audio("check.audio")]]),
            Group("4  New mouths", VIOLET, [[TREPA, sampler()]]),
        ],
        [
            Group("Restore with SeedVR2 (bypassed: Ctrl+B)", ORANGE, RESTORE_FACES),
            Group(
                "5  The film",
                RED,
                [[composite("replace.synced")], [save("voice first")]],
            ),
        ],
    ],
    (480, 900),
)

LIPS = [
    Group("5  LatentSync", BLUE, [[prepare_faces("scene.scene"), embed_audio("check.audio")], [TREPA, sampler()]]),
]


def film(name: str, background: str) -> Group:
    """The mix, and the film with it."""
    return Group(
        "6  Sound and film", RED, [[mix_dub("check.audio", background)], [composite(mix="mix.mix")], [save(name)]]
    )


F5 = Workflow(
    "10 Lip sync film dub with E2 or F5-TTS",
    text(
        "Film dub with E2 or F5-TTS",
        "Each line is spoken in a clone of the actor's voice, fitted to its time, synced and mixed.",
        CONSENT,
        """
**Before the first run**

- Let ComfyUI's manager install the missing nodes: *ComfyUI F5-TTS* and *Mel-Band RoFormer*.
- Put *MelBandRoformer_fp16.safetensors* into models/diffusion_models. F5-TTS downloads its own models. Read the
   licences
   of their weights: those of F5 and E2 allow no commercial use.
""",
        """
1. **Film.** Replace *LatentSync Sample Scene* with *Load Video*.
2. **Voice and background** are separated.
3. **Lines.** Write the English subtitles into *Dialogue Lines*, or choose a file. *texts* makes F5-TTS run once for
   each.
4. **The clone.** *Trim Audio Duration* has to hold 5 to 15 seconds of one person's clean speech: *Voice Check* lists
   its
   faults and plays it. Write the words that are said there, exactly, into *sample_text*. *model* chooses *F5v1* or
   *E2*.
   If a line sounds wrong, change *seed*; only the speech is made again.
5. **LatentSync** follows the dry voice. 6. **Mix Dub Audio** mixes it with the background.
""",
        """
**When something goes wrong**

- Words of the sample are heard in the lines, or the speech is too fast: *sample_text* is not what is said there.
- A strong accent: the sample is in another language than the lines. Take an English recording of the same person.
- Several people: one *F5-TTS*, *Voice Check* and *Dialogue Lines* for each, and workflow **07** for their mouths.
"""
        + TOO_LONG.strip("\n"),
        REAL_RESULTS,
    ),
    [
        [
            Group("1  Film", GREEN, [[scene(), sound(), load_model()]]),
            SEPARATION,
            Group("3  Lines", VIOLET, [[dialogue("lines", "Dialogue Lines: the English", ENGLISH)]]),
            Group(
                "4  The clone",
                ORANGE,
                [
                    [
                        Node(
                            "sample",
                            "TrimAudioDuration",
                            {"audio": "apart.vocals"},
                            {"start_index": 0.4, "duration": 6.0},
                            title="The sample of the voice",
                        ),
                        voice_check("sample_check", "sample.AUDIO", "Voice Check: the sample", clip=False),
                    ],
                    [
                        Node(
                            "speech",
                            "F5TTSAudioInputs",
                            {"sample_audio": "sample_check.audio", "speech": "lines.texts"},
                            {"sample_text": SPOKEN_SAMPLE, **FIXED, "model": "F5v1"},
                            display_height=60,
                            width=TEXT_WIDTH,
                        ),
                        place_lines("speech.AUDIO"),
                        voice_check("check", "place.voice", "Voice Check: the dub"),
                    ],
                ],
            ),
        ],
        [*LIPS, film("f5", "apart.instruments")],
    ],
    (560, 1000),
    needs_other_packs=True,
)

CORE_ONLY = Workflow(
    "11 Lip sync film dub with core nodes only",
    text(
        "Film dub with core's nodes only",
        """
No other pack: ElevenLabs' nodes, which ComfyUI brings along, isolate, recognise, clone and speak the voice; the words
are translated on your machine.
""",
        CONSENT,
        """
**Before the first run**

- The ElevenLabs nodes are partner nodes: log in (*Settings → User*) and buy credits. They send the voice to that
   service.
   A ComfyUI that was started with --disable-api-nodes has none.
- Put *gemma4_e4b_it_fp8_scaled.safetensors* (9 GB) into models/text_encoders.
""",
        """
1. **Film.** Replace *LatentSync Sample Scene* with *Load Video*, and its music and effects with *Load Audio*: core can
   isolate a voice, but returns no background. Without an M&E track, disconnect *background*.
2. **Recognition** tells who says what and when; *Dialogue Lines* makes lines of the words.
3. **Translation.** Run the English *Dialogue Lines* alone first (right click, Queue Selected Output Nodes) and read
   it. For
   your own words, remove the link into its *text*.
4. **The clone** speaks each line; *Place Lines* fits them to their times.
5. **LatentSync** follows the dry voice. 6. **Mix Dub Audio** makes the sound.
""",
        """
**Your own voice instead:** *Record Audio* (muted) takes your microphone. Unmute it (Ctrl+M) and connect it to *sounds*,
with a Dialogue Lines of the times at which you speak in *dub_lines*; or to *Instant Voice Clone*.
""",
        """
**When something goes wrong**

- *no format of lines* on the English lines: the model wrote more than subtitles. Run again, or correct the text by
   hand.
- *Unauthorized*: log in. Two speakers in one clone: one *Instant Voice Clone* for each, from parts where only they
   speak.
"""
        + TOO_LONG.strip("\n"),
        REAL_RESULTS,
    ),
    [
        [
            Group("1  Film", GREEN, [[scene(), sound(), load_model()]]),
            Group(
                "2  Recognition",
                BLUE,
                [
                    [
                        Node("voice_alone", "ElevenLabsAudioIsolation", {"audio": "sound.audio"}),
                        Node("asr", "ElevenLabsSpeechToText", {"audio": "voice_alone.AUDIO"}),
                        dialogue("french", "Dialogue Lines: as filmed", source="asr.words_json"),
                    ]
                ],
            ),
            Group(
                "3  Translation",
                VIOLET,
                [
                    list(translation("french.srt")[:3]),
                    [
                        translation("french.srt")[3],
                        dialogue("lines", "Dialogue Lines: the English, to be read first", source="cues.STRING"),
                    ],
                ],
            ),
            Group(
                "4  The clone",
                ORANGE,
                [
                    [
                        voice_check("sample_check", "voice_alone.AUDIO", "Voice Check: the sample", clip=False),
                        Node("clone", "ElevenLabsInstantVoiceClone", {"files.audio0": "sample_check.audio"}),
                        Node("record", "RecordAudio", title="Record Audio: your own voice", mode=MUTED),
                    ],
                    [
                        Node(
                            "speech",
                            "ElevenLabsTextToSpeech",
                            {"voice": "clone.voice", "text": "lines.texts"},
                            width=TEXT_WIDTH,
                        ),
                        place_lines("speech.AUDIO"),
                        voice_check("check", "place.voice", "Voice Check: the dub"),
                    ],
                ],
            ),
        ],
        [*LIPS, film("core", "scene.music_and_effects")],
    ],
    (600, 1050),
)
