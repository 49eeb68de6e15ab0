"""A small right workflow of recorded nodes, core nodes and one of ours, for the checker's own tests."""

from __future__ import annotations

from tests.comfyui.third_party.check import BYPASSED

TTS, MEL = ("cnr_id", "tts_audio_suite", "5.5.2"), ("aux_id", "kijai/ComfyUI-MelBandRoFormer", "1.0.1")
REVERB, OURS, CORE = (
    ("cnr_id", "ComfyUI_SignalProcessing", "0.0.2"),
    ("cnr_id", "comfyui-latentsync-dub", ""),
    ("cnr_id", "comfy-core", ""),
)

# Enough of a server's /object_info for the core nodes of the small graph below.
SERVER = {
    "AudioMerge": {
        "input": {
            "required": {
                "audio1": ["AUDIO", {}],
                "audio2": ["AUDIO", {}],
                "merge_method": ["COMBO", {"options": ["add", "mean"]}],
            }
        },
        "output": ["AUDIO"],
        "output_name": ["AUDIO"],
        "python_module": "comfy_extras.nodes_audio",
    },
    "TextGenerate": {
        "input": {
            "required": {
                "prompt": ["STRING", {"multiline": True}],
                "max_length": ["INT", {"min": 1, "max": 32768}],
                "sampling_mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {
                                "key": "on",
                                "inputs": {"required": {"temperature": ["FLOAT", {"min": 0.01, "max": 2.0}]}},
                            },
                            {"key": "off", "inputs": {}},
                        ]
                    },
                ],
            },
            "optional": {"thinking": ["BOOLEAN", {}]},
        },
        "output": ["STRING"],
        "output_name": ["generated_text"],
        "python_module": "comfy_extras.nodes_textgen",
    },
    "LatentSyncDubClipAudio": {
        "input": {"required": {}},
        "output": ["AUDIO"],
        "output_name": ["audio"],
        "python_module": "custom_nodes.latentsync",
    },
}


class Graph:
    """Builds a small workflow in the page's format."""

    def __init__(self) -> None:
        self.nodes: list[dict] = []
        self.links: list[list] = []

    def add(self, kind: str, pack: tuple, inputs: list, outputs: list[tuple[str, str]], widgets: object = None) -> dict:
        """`inputs`: (name, type, origin (node, slot) or None), a fourth entry marks a widget's socket."""
        key, value, version = pack
        node = {
            "id": len(self.nodes) + 1,
            "type": kind,
            "mode": 0,
            "inputs": [
                {"name": i[0], "type": i[1], "link": None, **({"widget": {"name": i[0]}} if i[3:] else {})}
                for i in inputs
            ],
            "outputs": [{"name": name, "type": output, "links": []} for name, output in outputs],
            "properties": {"Node name for S&R": kind, key: value, "ver": version},
            "widgets_values": [] if widgets is None else widgets,
        }
        for slot, (_, _, origin, *_) in enumerate(inputs):
            if origin:
                source, source_slot = origin
                link = [
                    len(self.links) + 1,
                    source["id"],
                    source_slot,
                    node["id"],
                    slot,
                    source["outputs"][source_slot]["type"],
                ]
                self.links.append(link)
                source["outputs"][source_slot]["links"].append(link[0])
                node["inputs"][slot]["link"] = link[0]
        self.nodes.append(node)
        return node

    def workflow(self) -> dict:
        return {
            "nodes": self.nodes,
            "links": self.links,
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "version": 0.4,
        }


def good_workflow() -> dict:
    """Voice and background parted, the voice written down, subtitles, English words, a voice again, and the mix."""
    graph = Graph()
    clip = graph.add("LatentSyncDubClipAudio", OURS, [], [("audio", "AUDIO")])
    model = graph.add(
        "MelBandRoFormerModelLoader", MEL, [], [("model", "MELROFORMERMODEL")], ["MelBandRoformer_fp16.safetensors"]
    )
    parted = graph.add(
        "MelBandRoFormerSampler",
        MEL,
        [("model", "MELROFORMERMODEL", (model, 0)), ("audio", "AUDIO", (clip, 0))],
        [("vocals", "AUDIO"), ("instruments", "AUDIO")],
    )
    engine = graph.add(
        "ChatterBoxEngineNode", TTS, [], [("TTS_engine", "TTS_ENGINE")], ["English", "auto", 0.5, 0.8, 0.5, ""]
    )
    heard = graph.add(
        "UnifiedASRTranscribeNode",
        TTS,
        [("engine", "TTS_ENGINE", (engine, 0)), ("audio", "*", (parted, 0))],
        [("text", "STRING"), ("asr_timing_data", "STRING"), ("info", "STRING")],
        ["Auto", "transcribe", "word", 30, 2, True, False],
    )
    srt = graph.add(
        "TextToSRTBuilderNode",
        TTS,
        [
            ("asr_timing_data", "STRING", (heard, 1)),
            ("srt_options", "SRT_OPTIONS", None),
            ("text", "STRING", (heard, 0), True),
        ],
        [("srt", "STRING"), ("timestamps", "STRING"), ("info", "STRING")],
        [""],
    )
    english = graph.add(
        "TextGenerate",
        CORE,
        [("prompt", "STRING", (srt, 0), True)],
        [("generated_text", "STRING")],
        ["", 4096, "on", 0.7, False],
    )
    spoken = graph.add(
        "UnifiedTTSSRTNode",
        TTS,
        [
            ("TTS_engine", "TTS_ENGINE", (engine, 0)),
            ("opt_narrator", "*", (parted, 0)),
            ("srt_content", "STRING", (english, 0), True),
        ],
        [("audio", "AUDIO"), ("generation_info", "STRING"), ("timing_report", "STRING"), ("Adjusted_SRT", "STRING")],
        ["", "none", 1, "fixed", "smart_natural", True, 0.01, 1.0, 0.5, 2.0, 0, False],
    )
    reverb = graph.add(
        "SignalProcessingConvolutionReverb",
        REVERB,
        [("audio_input", "AUDIO", (spoken, 0))],
        [("audio", "AUDIO")],
        ["", 0.2],
    )
    reverb["mode"] = BYPASSED
    graph.add(
        "AudioMerge",
        CORE,
        [("audio1", "AUDIO", (parted, 1)), ("audio2", "AUDIO", (reverb, 0))],
        [("AUDIO", "AUDIO")],
        ["add"],
    )
    return graph.workflow()


def node_of(workflow: dict, kind: str) -> dict:
    return next(node for node in workflow["nodes"] if node["type"] == kind)
