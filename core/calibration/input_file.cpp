// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/input_file.h"

#include "core/calibration/sealed_file.h"

#include <string_view>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::string_view kInputMagic = "QLINPUT1";
}  // namespace

Result<InputFile> InputFile::open(
    const std::filesystem::path& folder, const InputFileReference& reference, const std::stop_token& stop)
{
    const auto path = folder / reference.name;
    auto sealed = openSealedFile(folder, reference, stop);
    if (!sealed)
        return tl::unexpected(sealed.error());
    InputFile file;
    file.m_file = std::move(sealed->file);
    ByteCursor cursor(sealed->content);
    if (!takeMagic(cursor, kInputMagic))
        return damagedFile(path, "is not a file of inputs");
    std::uint64_t figures[5] = {};
    for (auto& figure : figures) {
        const auto number = cursor.read<std::uint64_t>();
        if (!number)
            return damagedFile(path, "ends inside its header");
        figure = *number;
    }
    const auto [columns, tokens, sampled, moments, reserved] = figures;
    std::uint64_t sampleBytes = 0, momentBytes = 0, perToken = 0, all = 0;
    if (reserved != 0 || columns == 0 || (moments != 0 && moments != MomentLayout::sizeFor(columns))
        || __builtin_mul_overflow(columns, std::uint64_t {sizeof(float)}, &perToken)
        || __builtin_add_overflow(perToken, std::uint64_t {sizeof(std::uint64_t)}, &perToken)
        || __builtin_mul_overflow(sampled, perToken, &sampleBytes)
        || __builtin_mul_overflow(moments, std::uint64_t {sizeof(float)}, &momentBytes)
        || __builtin_add_overflow(sampleBytes, momentBytes, &all) || all != cursor.remaining())
        return damagedFile(path, "its parts are not as large as its header says");
    file.m_columns = columns;
    file.m_tokens = tokens;
    file.m_numbers = takeNumbers<std::uint64_t>(cursor, sampled);
    file.m_sample = takeNumbers<float>(cursor, sampled * columns);
    file.m_moments = takeNumbers<float>(cursor, moments);
    return file;
}

Result<InputFileReference> writeInputFile(const std::filesystem::path& folder, const std::string& name,
    std::uint64_t tokens, const SecondMoments& moments, const TokenSample& sample, std::stop_token stop)
{
    const auto where = (folder / name).string();
    return writeSealedFile(
        folder, name,
        [&](SealedWriter& writer) -> Result<void> {
            writer.write<char>(kInputMagic);
            const std::uint64_t figures[] = {
                sample.columns(), tokens, sample.numbers().size(), moments.values().size(), 0};
            writer.write<std::uint64_t>(figures);
            writer.write<std::uint64_t>(sample.numbers());
            writer.write<float>(sample.rows());
            return writer.writeRounded(moments.values(), where,
                "the squares of a layer's inputs overflow: the model cannot be calibrated in float32");
        },
        stop);
}

}  // namespace quantloupe
