"""The recorded facts of other packs' nodes are whole, the checker sees what is wrong, and shipped workflows pass it."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest

from tests.comfyui.third_party.check import BYPASSED, check_workflow
from tests.comfyui.third_party.node_facts import FACTS_FOLDER, load_facts
from tests.comfyui.third_party.small_workflow import SERVER, good_workflow, node_of
from tests.comfyui.third_party.stand_in_pack import NODE_CLASS_MAPPINGS

PACKS = sorted(FACTS_FOLDER.glob("*.json"))
WORKFLOWS = sorted((Path(__file__).parents[2] / "workflows").glob("*.json"))
FACTS = load_facts()


def test_a_right_workflow_has_no_problems():
    assert check_workflow(good_workflow(), FACTS, SERVER) == []
    assert check_workflow(good_workflow(), FACTS) == []


def swap_pack(workflow):
    node_of(workflow, "MelBandRoFormerSampler")["properties"]["aux_id"] = "someone/else"


def forget_the_recorded_version(workflow):
    node_of(workflow, "UnifiedTTSSRTNode")["properties"]["ver"] = "5.4.0"


def rename_an_input(workflow):
    node_of(workflow, "UnifiedASRTranscribeNode")["inputs"][0]["name"] = "TTS_engine"


def change_an_inputs_type(workflow):
    node_of(workflow, "MelBandRoFormerSampler")["inputs"][0]["type"] = "MODEL"


def reorder_outputs(workflow):
    node_of(workflow, "MelBandRoFormerSampler")["outputs"].reverse()


def drop_an_output(workflow):
    node_of(workflow, "UnifiedTTSSRTNode")["outputs"].pop()


def lose_a_required_link(workflow):
    sampler = node_of(workflow, "MelBandRoFormerSampler")
    link = sampler["inputs"][0]["link"]
    sampler["inputs"][0]["link"] = None
    workflow["links"] = [entry for entry in workflow["links"] if entry[0] != link]
    node_of(workflow, "MelBandRoFormerModelLoader")["outputs"][0]["links"] = []


def forget_the_seeds_control(workflow):
    del node_of(workflow, "UnifiedTTSSRTNode")["widgets_values"][3]


def choose_what_is_not_offered(workflow):
    node_of(workflow, "UnifiedASRTranscribeNode")["widgets_values"][1] = "dub"


def leave_the_range(workflow):
    node_of(workflow, "UnifiedTTSSRTNode")["widgets_values"][9] = 0.1


def write_a_number_as_text(workflow):
    node_of(workflow, "ChatterBoxEngineNode")["widgets_values"][2] = "0.5"


def write_a_list_where_a_mapping_belongs(workflow):
    workflow["nodes"].append(
        {
            "id": 99,
            "type": "VHS_BatchManager",
            "properties": {"cnr_id": "comfyui-videohelpersuite", "ver": "1.7.9"},
            "outputs": [{"name": "meta_batch", "type": "VHS_BatchManager", "links": []}],
            "widgets_values": [16],
        }
    )
    workflow["last_node_id"] = 99


def leave_a_dynamic_choices_own_range(workflow):
    node_of(workflow, "TextGenerate")["widgets_values"][3] = 5.0


def give_a_widget_too_many(workflow):
    node_of(workflow, "TextGenerate")["widgets_values"][2] = "off"


def link_text_to_sound(workflow):
    merge, srt = node_of(workflow, "AudioMerge"), node_of(workflow, "TextToSRTBuilderNode")
    link = next(entry for entry in workflow["links"] if entry[0] == merge["inputs"][1]["link"])
    node_of(workflow, "SignalProcessingConvolutionReverb")["outputs"][0]["links"] = []
    srt["outputs"][1]["links"].append(link[0])
    link[1], link[2] = srt["id"], 1


def point_a_link_at_another_slot(workflow):
    workflow["links"][0][4] = 1


def let_one_end_forget_a_link(workflow):
    node_of(workflow, "LatentSyncDubClipAudio")["outputs"][0]["links"] = []


def link_to_nowhere(workflow):
    workflow["links"][0][1] = 77


def bypass_what_cannot_pass_on(workflow):
    node_of(workflow, "TextToSRTBuilderNode")["mode"] = BYPASSED
    node_of(workflow, "TextToSRTBuilderNode")["outputs"][0]["type"] = "AUDIO"


def use_an_unknown_node(workflow):
    node_of(workflow, "MelBandRoFormerModelLoader")["type"] = "MelBandModelLoader"


def count_nodes_wrong(workflow):
    workflow["last_node_id"] = 3


BREAKAGES = [
    (swap_pack, "aux_id is 'someone/else'; the manager finds its pack by 'kijai/ComfyUI-MelBandRoFormer'"),
    (forget_the_recorded_version, "ver is '5.4.0'; the facts were recorded at 5.5.2"),
    (rename_an_input, "it has no input 'TTS_engine'; its inputs are engine, audio"),
    (change_an_inputs_type, "input 'model' is of type MELROFORMERMODEL, not MODEL"),
    (reorder_outputs, "its outputs are vocals (AUDIO), instruments (AUDIO), not instruments (AUDIO), vocals (AUDIO)"),
    (drop_an_output, "Adjusted_SRT (STRING), not audio (AUDIO)"),
    (lose_a_required_link, "its input 'model' needs a link"),
    (forget_the_seeds_control, "'seed' is followed by 'smart_natural'; fixed or randomize belongs there"),
    (choose_what_is_not_offered, "task = 'dub'; the choices are transcribe, translate"),
    (leave_the_range, "timing_tolerance = 0.1; the least is 0.5"),
    (write_a_number_as_text, "exaggeration = '0.5'; a number belongs there"),
    (write_a_list_where_a_mapping_belongs, "its widgets_values are a list"),
    (leave_a_dynamic_choices_own_range, "sampling_mode.temperature = 5.0; the most is 2.0"),
    (give_a_widget_too_many, "it has 5 widgets_values; 4 belong there"),
    (link_text_to_sound, "takes STRING from TextToSRTBuilderNode to input 'audio2' of AudioMerge, which takes AUDIO"),
    (point_a_link_at_another_slot, "Link 1 isn't the link of input 1 of MelBandRoFormerSampler"),
    (let_one_end_forget_a_link, "isn't among the links of output 0 of LatentSyncDubClipAudio"),
    (link_to_nowhere, "Link 1 joins a node that isn't there"),
    (bypass_what_cannot_pass_on, "it is bypassed, and no linked input passes on to its output 'srt'"),
    (use_an_unknown_node, "MelBandModelLoader (node 2): neither the server nor the recorded packs have this node"),
    (count_nodes_wrong, "last_node_id or last_link_id is lower than an id in use"),
]


@pytest.mark.parametrize(("break_it", "sentence"), BREAKAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_each_breakage_is_named(break_it, sentence):
    workflow = copy.deepcopy(good_workflow())
    break_it(workflow)
    problems = check_workflow(workflow, FACTS, SERVER)
    assert any(sentence in problem for problem in problems), problems


def test_an_unrecorded_pack_is_named_without_a_server():
    workflow = good_workflow()
    use_an_unknown_node(workflow)
    assert any("is recorded nowhere" in problem for problem in check_workflow(workflow, FACTS))


def test_a_reverb_with_no_impulse_response_installed_may_wait_bypassed():
    workflow = good_workflow()
    assert node_of(workflow, "SignalProcessingConvolutionReverb")["widgets_values"][0] == ""
    assert check_workflow(workflow, FACTS, SERVER) == []


def test_the_pages_own_player_socket_is_no_problem():
    workflow = good_workflow()
    node_of(workflow, "AudioMerge")["inputs"].append({"name": "audioUI", "type": "AUDIO_UI", "link": None})
    assert check_workflow(workflow, FACTS, SERVER) == []


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_a_packs_facts_say_where_they_come_from(path):
    pack = json.loads(path.read_text(encoding="utf-8"))
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", pack["repository"])
    assert re.fullmatch(r"[0-9a-f]{40}", pack["commit"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", pack["commit_date"])
    assert pack["licence"]
    assert pack["version"]
    assert ("cnr_id" in pack) != ("aux_id" in pack)
    assert pack["nodes"]


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_a_packs_recorded_defaults_obey_its_own_recorded_limits(path):
    for name, node in json.loads(path.read_text(encoding="utf-8"))["nodes"].items():
        names = [entry["name"] for entry in node["inputs"]]
        assert len(names) == len(set(names)), name
        for entry in node["inputs"]:
            if "default" not in entry:
                continue
            assert entry["widget"], (name, entry)
            if "choices" in entry:
                assert entry["default"] in entry["choices"], (name, entry)
            if "max" in entry:
                assert entry["min"] <= entry["default"] <= entry["max"], (name, entry)


def test_the_stand_ins_have_the_recorded_shape():
    for name, node in FACTS.items():
        served = NODE_CLASS_MAPPINGS[name].INPUT_TYPES()
        assert [*served["required"], *served["optional"]] == [entry.name for entry in node.inputs]
        outputs = zip(NODE_CLASS_MAPPINGS[name].RETURN_NAMES, NODE_CLASS_MAPPINGS[name].RETURN_TYPES, strict=True)
        assert tuple(outputs) == node.outputs


def test_a_stand_in_says_that_it_cannot_run():
    with pytest.raises(RuntimeError, match="stand-in for UnifiedTTSSRTNode"):
        NODE_CLASS_MAPPINGS["UnifiedTTSSRTNode"]().run()


def test_the_dubbing_chains_nodes_are_recorded():
    chain = """
        MelBandRoFormerModelLoader MelBandRoFormerSampler Qwen3TTSEngineNode UnifiedASRTranscribeNode
        TextToSRTBuilderNode CharacterVoicesNode UnifiedTTSSRTNode SignalProcessingConvolutionReverb ReActorRestoreFace
        VHS_LoadVideo VHS_VideoCombine VHS_BatchManager
    """
    assert set(chain.split()) <= set(FACTS)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_shipped_workflow_agrees_with_the_recorded_packs(path):
    assert check_workflow(json.loads(path.read_text(encoding="utf-8")), FACTS) == []
