// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/gradient_file.h"

#include "core/calibration/sealed_file.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::string_view kGradientMagic = "QLGRADS1";

}  // namespace

Result<GradientFile> GradientFile::open(
    const std::filesystem::path& folder, const InputFileReference& reference, const std::stop_token& stop)
{
    const auto path = folder / reference.name;
    auto sealed = openSealedFile(folder, reference, stop);
    if (!sealed)
        return tl::unexpected(sealed.error());
    GradientFile file;
    file.m_file = std::move(sealed->file);
    ByteCursor cursor(sealed->content);
    if (!takeMagic(cursor, kGradientMagic))
        return damagedFile(path, "is not a file of gradients");
    std::uint64_t figures[6] = {};
    for (auto& figure : figures) {
        const auto number = cursor.read<std::uint64_t>();
        if (!number)
            return damagedFile(path, "ends inside its header");
        figure = *number;
    }
    const auto [outputs, columns, predictions, moments, fisher, reserved] = figures;
    std::uint64_t weights = 0, numbers = 0, bytes = 0;
    if (reserved != 0 || outputs == 0 || columns == 0 || predictions == 0
        || __builtin_mul_overflow(outputs, columns, &weights)
        || (moments != 0 && moments != MomentLayout::sizeFor(outputs)) || (fisher != 0 && fisher != weights)
        || __builtin_add_overflow(moments, fisher, &numbers)
        || __builtin_mul_overflow(numbers, std::uint64_t {sizeof(float)}, &bytes) || bytes != cursor.remaining())
        return damagedFile(path, "its parts are not as large as its header says");
    file.m_outputs = outputs;
    file.m_columns = columns;
    file.m_predictions = predictions;
    file.m_moments = takeNumbers<float>(cursor, moments);
    file.m_fisher = takeNumbers<float>(cursor, fisher);
    return file;
}

Result<InputFileReference> writeGradientFile(const std::filesystem::path& folder, const std::string& name,
    const GatheredGradients& gathered, const std::stop_token& stop)
{
    const auto where = (folder / name).string();
    return writeSealedFile(
        folder, name,
        [&](SealedWriter& writer) -> Result<void> {
            const auto& figures = gathered.figures;
            writer.write<char>(kGradientMagic);
            const std::uint64_t header[] = {figures.outputs(), figures.columns, figures.text.predictions,
                gathered.moments.values().size(), gathered.fisher.size(), 0};
            writer.write<std::uint64_t>(header);
            if (!std::all_of(gathered.fisher.begin(), gathered.fisher.end(), [](float x) { return std::isfinite(x); }))
                return failure(ErrorCode::Malformed, where,
                    "the squares of a layer's gradients overflow: they cannot be kept in float32");
            if (auto done = writer.writeRounded(gathered.moments.values(), where,
                    "the squares of a layer's gradients overflow: they cannot be kept in float32");
                !done)
                return done;
            writer.write<float>(gathered.fisher);
            return {};
        },
        stop);
}

}  // namespace quantloupe
