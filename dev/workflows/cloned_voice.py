"""Workflow 06: the film's own actor speaks English, in a clone of their voice, with other packs' nodes."""

from __future__ import annotations

from dev.workflows.parts import (
    BLUE,
    BYPASSED,
    FIXED,
    GREEN,
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

TRANSLATE = (
    "Translate this subtitle file into natural spoken English for dubbing. Keep every cue number and every time line "
    "exactly as it is, and the number of cues. Replace only the spoken words. An actor has to say each cue within its "
    "time, so make it no longer to speak than the line it replaces. Leave out descriptions of sounds and never write "
    "square or angle brackets. Answer with the subtitle file alone.\n\n"
)
# A chat model may write a fence or a word around the cues, and its thoughts before them.
CUES = r"\d+\s*\n\d{2}:\d{2}:\d{2},\d{3} --> .*?(?=\s*```|\s*$)"
CHAT_MODEL = "gemma4_e4b_it_fp8_scaled.safetensors"
TEXT_HEIGHT = 220  # pixels, of a node that shows text
TEXT_WIDTH = 400

NOTE = text(
    "Film dub with a cloned voice",
    """
Dubs a French, German, Italian or Spanish film scene into English, spoken by a clone of the actor's own voice, with the
actor's mouth following it and the music and effects kept.
""",
    "**Clone a voice only with the consent of the person whose voice it is.**",
    """
**Before the first run**

- Let ComfyUI's manager install the missing nodes: *TTS Audio Suite* and *Mel-Band RoFormer*. *Signal Processing*
   (reverb) and *ReActor* (restored faces) are needed only if you want those two branches, which are bypassed.
- Put *MelBandRoformer_fp16.safetensors* into models/diffusion_models, and *gemma4_e4b_it_fp8_scaled.safetensors* (9 GB)
   into models/text_encoders. Core's own template "Gemma4: Text Generation" offers the second one.
- The suite creates a Python environment of its own for Qwen and downloads its speech models: tens of minutes, once.
- *Generate Text* needs ComfyUI 0.21 or newer.
""",
    """
**Steps**

1. **Film.** Replace *LatentSync Sample Scene*, whose scene is in French, with *Load Video*. Clip Audio extracts the
   audio without loading a frame.
2. **Voice and background** are separated.
3. **Transcription** with time codes. Set the language in *ASR Transcribe* if you know it; French, German, Italian and
   Spanish can all be aligned.
4. **Translation.** A language model translates the subtitles. Run only *The English* first (right click, Queue Selected
   Output Nodes) and read it. To use your own text instead, remove the link into *TTS SRT* and paste your subtitles
   there: number, time line, words.
5. **The new voice.** In *Character Voices*, *trim_start* and *trim_end* must hold 5 to 15 seconds of one person's clean
   speech: listen to it. All cues get this voice; *[Name] words* in a cue uses the saved voice of that name, so avoid
   other square brackets.
6. **LatentSync** follows the dry voice alone and generates the mouth.
7. **Sound and film.** The new voice is mixed over the background, which stays on *audio1*: its length is the film's.
""",
    """
**Troubleshooting**

- *timing_report* says "Truncating": the English is longer than its cue. Shorten the words, or choose *stretch_to_fit*.
- The voice sounds too dry: put impulse responses (WAV) into the reverb pack's folder audio/ir, restart, choose one
   and remove the bypass. The lips still follow the dry voice.
- A film of more than 5 minutes: raise *max_length* of *Generate Text*, or process it in parts.
- Faces too soft: remove the bypass from *Decode Faces*, *Restore Face* and *Replace Faces*, at a visibility of 0.5 to
   0.8, and set Composite's *region* to *face*.
""",
    REAL_RESULTS,
)


def _engine() -> Node:
    widgets = {
        "model_variant": "TTS - Base 1.7B (Voice Clone)",
        "language": "English",
        "x_vector_only_mode": True,  # from the sound alone: no transcript of the reference is needed
        "asr_use_forced_aligner": True,  # no times without it
    }
    return Node("qwen", "Qwen3TTSEngineNode", widgets=widgets, width=TEXT_WIDTH)


FILM = Group(
    "1  Film",
    GREEN,
    [
        [
            scene(),
            Node("sound", "LatentSyncDubClipAudio", {"video": "scene.scene"}, {"channels": "stereo"}),
            load_model(),
        ]
    ],
)
SEPARATION = Group(
    "2  Voice and background",
    ORANGE,
    [
        [
            Node("separator", "MelBandRoFormerModelLoader", widgets={"model_name": "MelBandRoformer_fp16.safetensors"}),
            Node("apart", "MelBandRoFormerSampler", {"model": "separator.model", "audio": "sound.audio"}),
        ]
    ],
)
TRANSCRIPTION = Group(
    "3  Transcription",
    BLUE,
    [
        [_engine()],
        [
            Node(
                "asr",
                "UnifiedASRTranscribeNode",
                {"engine": "qwen.TTS_engine", "audio": "apart.vocals"},
                {"language": "Auto", "task": "transcribe", "timestamps": "word"},
            ),
            Node("srt", "TextToSRTBuilderNode", {"asr_timing_data": "asr.asr_timing_data", "text": "asr.text"}),
            Node("french", "PreviewAny", {"source": "srt.srt"}, title="Transcription", display_height=TEXT_HEIGHT),
        ],
    ],
)


def translation(lines: str) -> tuple[Node, Node, Node, Node]:
    """The request for a translation of the subtitles that `lines` gives, the model, its answer, and the cues in it."""
    return (
        Node(
            "request",
            "StringConcatenate",
            {"string_b": lines},
            {"string_a": TRANSLATE, "delimiter": ""},
            display_height=TEXT_HEIGHT,
            width=TEXT_WIDTH,
        ),
        Node("chat", "CLIPLoader", widgets={"clip_name": CHAT_MODEL, "type": "stable_diffusion"}, width=TEXT_WIDTH),
        Node(
            "answer",
            "TextGenerate",
            {"clip": "chat.CLIP", "prompt": "request.STRING"},
            {"max_length": 4096, "sampling_mode": "off"},
        ),
        Node(
            "cues",
            "RegexExtract",
            {"string": "answer.generated_text"},
            {"regex_pattern": CUES, "mode": "First Match", "multiline": False, "dotall": True},
        ),
    )


_request, _chat, _answer, _cues = translation("srt.srt")
TRANSLATION = Group(
    "4  Translation",
    VIOLET,
    [
        [_request, _chat],
        [_answer, _cues],
        [
            Node(
                "english",
                "PreviewAny",
                {"source": "cues.STRING"},
                title="The English, to be read first",
                display_height=TEXT_HEIGHT,
            ),
        ],
    ],
)
VOICE = Group(
    "5  The new voice",
    ORANGE,
    [
        [
            Node(
                "actor",
                "CharacterVoicesNode",
                {"opt_audio_input": "apart.vocals"},
                {"trim_start": 0.0, "trim_end": 10.0},
            ),
            Node(
                "speech",
                "UnifiedTTSSRTNode",
                {"TTS_engine": "qwen.TTS_engine", "opt_narrator": "actor.opt_narrator", "srt_content": "cues.STRING"},
                {**FIXED, "timing_mode": "smart_natural", "timing_tolerance": 0.5},
            ),
            Node("listen", "PreviewAudio", {"audio": "speech.audio"}, title="The new voice"),
        ]
    ],
)
LIPS = Group(
    "6  LatentSync",
    BLUE,
    [
        [prepare_faces("scene.scene"), embed_audio("speech.audio")],
        [TREPA, sampler()],
        [
            Node("decode", "LatentSyncDubDecodeFaces", {"synced": "sampler.synced"}, mode=BYPASSED),
            Node(
                "restore",
                "ReActorRestoreFace",
                {"image": "decode.crops"},
                {"facedetection": "retinaface_resnet50", "model": "GFPGANv1.4.pth", "visibility": 0.7},
                mode=BYPASSED,
            ),
            Node(
                "replace",
                "LatentSyncDubReplaceFaces",
                {"synced": "sampler.synced", "crops": "restore.IMAGE"},
                mode=BYPASSED,
            ),
        ],
    ],
)
MIX = Group(
    "7  Sound and film",
    RED,
    [
        [
            Node(
                "reverb",
                "SignalProcessingConvolutionReverb",
                {"audio_input": "speech.audio"},
                {"wet_dry": 0.2},
                mode=BYPASSED,
            ),
            Node(
                "voice_level",
                "AudioAdjustVolume",
                {"audio": "reverb.audio"},
                {"volume": -3},
                title="English voice level",
            ),
            Node(
                "background_level",
                "AudioAdjustVolume",
                {"audio": "apart.instruments"},
                {"volume": -3},
                title="Background level",
            ),
            Node(
                "mix",
                "AudioMerge",
                {"audio1": "background_level.AUDIO", "audio2": "voice_level.AUDIO"},
                {"merge_method": "add"},
            ),
        ],
        [composite("replace.synced", mix="mix.AUDIO")],
        [save("dub cloned voice")],
    ],
)
CLONED_VOICE = Workflow(
    "06 Lip sync a film, cloned voice (TTS-Audio-Suite)",
    NOTE,
    [[FILM, SEPARATION, TRANSCRIPTION, TRANSLATION], [VOICE, LIPS, MIX]],
    (640, 1100),
    needs_other_packs=True,
)
