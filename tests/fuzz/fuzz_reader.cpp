// SPDX-License-Identifier: GPL-3.0-or-later
// One reader of the registry on a whole file, then what every caller does with a model: rows of each tensor.
#include "core/file_formats/model_assembly.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/read_rows.h"

#include <algorithm>
#include <cstdlib>

using namespace quantloupe;

namespace {

const FileFormat& reader()
{
    const auto formats = fileFormats();
    const auto found = std::find_if(
        formats.begin(), formats.end(), [](const FileFormat* format) { return format->name == QUANTLOUPE_READER; });
    if (found == formats.end())
        std::abort();
    return **found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const tests::MemoryFile input(data, size);
    const auto file = MappedFile::open(input.path());
    if (!file)
        std::abort();
    reader().matches((*file)->bytes().first(std::min<std::size_t>(4096, size)));
    auto model = reader().open(*file, {});
    if (!model) {
        if (model.error().reason.empty() || model.error().code == ErrorCode::Internal)
            std::abort();
        return 0;
    }
    if (completeModel(*model))
        for (const auto& tensor : model->tensors)
            tests::readRows(tensor.view);
    return 0;
}
