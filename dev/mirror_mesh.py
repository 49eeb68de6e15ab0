"""Finds which of the face mesh's 468 points are each other's mirror images: python dev/mirror_mesh.py CLIP ...

    pip install scipy

The network looks at the faces of the clips and at their mirror images; points are paired so that, mirrored back, the
pairs lie nearest to one another over all faces. Faces should look both ways. Writes `mesh468_mirror.json` among the
carried networks.
"""

import itertools
import json
import sys

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from latentsync_core.faces.detection.blazeface import detect_faces
from latentsync_core.faces.detection.layer_list import ASSETS, load_network
from latentsync_core.faces.detection.region import FaceRegion, crop_region
from latentsync_core.video.reading.probing import probe
from latentsync_core.video.reading.reader import FrameReader

FRAME_STEP = 5  # frames
SCORE, MIN_FACE_SIZE = 0.5, 60  # of a detection; pixels of a face


def main() -> None:
    network = load_network("mesh468")
    crops = []
    for path in sys.argv[1:]:
        with FrameReader(probe(path)) as frames:
            for frame in itertools.islice(frames, 0, None, FRAME_STEP):
                faces = detect_faces(frame, SCORE, MIN_FACE_SIZE)
                crops += [crop_region(frame, FaceRegion.from_detection(face), network.size) for face in faces]
    squared_distances = np.zeros((468, 468))
    for picture in crops:
        plain, mirrored = network(torch.stack([picture, picture.flip(-1)]))[0].reshape(2, 468, 3).double().numpy()
        mirrored[:, 0] = network.size - mirrored[:, 0]
        squared_distances += np.square(plain[:, None] - mirrored[None]).sum(-1)
    _, mirror_of = linear_sum_assignment(squared_distances + squared_distances.T)
    if (mirror_of[mirror_of] != np.arange(468)).any():
        raise SystemExit(f"{len(crops)} faces don't tell which points are pairs; give clips with more")
    (ASSETS / "mesh468_mirror.json").write_text(json.dumps(mirror_of.tolist(), separators=(",", ":")) + "\n", "utf-8")
    print(f"{len(crops)} faces, {(mirror_of == np.arange(468)).sum()} points in the middle")


if __name__ == "__main__":
    main()
