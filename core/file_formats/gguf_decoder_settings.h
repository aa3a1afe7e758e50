// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/gguf_header.h"
#include "core/model/decoder_settings.h"

#include <string>

namespace quantloupe {

/// What the metadata of a GGUF file says beyond the figures of the architecture. Keys of the wrong type count as
/// missing. Source: the key list of the GGUF specification.
DecoderSettings decoderSettingsOf(const GgufHeader& header, const std::string& architecture);

}  // namespace quantloupe
