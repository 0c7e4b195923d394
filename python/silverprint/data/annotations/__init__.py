"""Pictures with labelled boxes: what a detector learns from.

One file for each format (`createml`, `coco`, `voc`, `yolo`, `memory`) fills a `Listing`; `collect`
checks it and makes an `AnnotatedSource` of it.

Boxes belong to the upright picture: the one that a viewer shows once it has followed the EXIF
orientation, and the one that `silverprint.data.decode` gives. COCO and Pascal VOC state the size of
each picture, so their boxes are clipped as they are read. Create ML's pixels wait for the size in
the picture's header, which `resolved` is given when the picture is decoded anyway.
"""
