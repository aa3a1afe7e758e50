// SPDX-License-Identifier: GPL-3.0-or-later
// config.json: figures of the architecture and how weights are packed; and what Keras says of its layers.
#include "core/file_formats/keras_layers.h"
#include "core/file_formats/packed_layouts/quantization_settings.h"
#include "core/model/model_config.h"

#include <cstdlib>

using namespace quantloupe;

namespace {

template<class T>
void check(const Result<T>& read)
{
    if (!read && (read.error().reason.empty() || read.error().code == ErrorCode::Internal))
        std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check(parseModelConfig(text, "config.json"));
    check(parseQuantizationSettings(text, "config.json"));
    check(parseKerasConfig(text, "config.json"));
    return 0;
}
