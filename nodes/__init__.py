"""The nodes, in the order of a graph: each a schema and a call into the engine."""

from comfy_api.latest import ComfyExtension, io

from ._comfy import register_models_folder
from ._comparison_routes import register_comparison_routes
from ._help_pages import register_help_pages
from ._scene_routes import register_scene_routes


class LatentSyncDub(ComfyExtension):
    """Hands ComfyUI the list of nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        register_models_folder()  # not in on_load, which old ComfyUIs (0.3.64) never call
        register_help_pages()
        register_scene_routes()
        register_comparison_routes()
        from .batch import Batch
        from .clip_audio import ClipAudio
        from .composite import Composite
        from .decode_faces import DecodeFaces
        from .dialogue_lines import DialogueLines
        from .embed_audio import EmbedAudio
        from .enhance_voice import EnhanceVoice
        from .lip_sync import LipSync
        from .load_model import LoadModel
        from .mix_dub import MixDub
        from .place_lines import PlaceLines
        from .prepare_faces import PrepareFaces
        from .replace_faces import ReplaceFaces
        from .report import Report
        from .sample_scene import SampleScene
        from .sampler import Sampler
        from .select_faces import SelectFaces
        from .speakers_to_faces import SpeakersToFaces
        from .trepa_settings import TrepaSettings
        from .voice_check import VoiceCheck

        return [
            LipSync,
            Batch,
            LoadModel,
            PrepareFaces,
            SelectFaces,
            SpeakersToFaces,
            EmbedAudio,
            TrepaSettings,
            Sampler,
            DecodeFaces,
            ReplaceFaces,
            Composite,
            ClipAudio,
            DialogueLines,
            PlaceLines,
            MixDub,
            VoiceCheck,
            EnhanceVoice,
            Report,
            SampleScene,
        ]
