// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/text.h"
#include "core/file_formats/hdf5_model.h"
#include "core/file_formats/zip_archive.h"
#include "core/file_formats/zip_directory.h"

#include <algorithm>

namespace quantloupe::file_formats {
namespace {

constexpr std::string_view kWeights = "model.weights.h5", kConfig = "config.json", kMetadata = "metadata.json";
constexpr std::uint64_t kMaxJson = 100'000'000;

bool matches(Bytes head)
{
    const auto name = firstZipMember(head);
    return name == kMetadata || name == kConfig || name == kWeights || name.starts_with("assets/");
}

/// The HDF5 file inside, on the map where it is stored, else unpacked.
Result<Hdf5FilePointer> openWeights(const ZipArchive& archive, const ZipEntry& entry, const std::stop_token& stop)
{
    const auto where = archive.file()->path().string() + ", member " + inQuotes(entry.name);
    if (!entry.deflated)
        return Hdf5File::open(archive.file(), entry.offset, entry.size, where);
    auto unpacked = archive.deferred(entry)->hold(stop);
    if (!unpacked)
        return tl::unexpected(std::move(unpacked.error()));
    return Hdf5File::open(*unpacked, 0, (*unpacked)->bytes().size(), where);
}

Result<Model> open(const MappedFilePointer& file, const std::stop_token& stop)
{
    const auto archive = ZipArchive::open(file);
    if (!archive)
        return tl::unexpected(archive.error());
    const auto* weights = archive->find(kWeights);
    if (weights == nullptr)
        return failure(archive->entries().empty() ? ErrorCode::NotThisFormat : ErrorCode::Unsupported,
            file->path().string(), "the archive has no member model.weights.h5");
    KerasLayer described;
    std::optional<std::string> warning;
    if (const auto* config = archive->find(kConfig)) {
        const auto where = file->path().string() + ", member 'config.json'";
        auto parsed = archive->unpack(*config, kMaxJson).and_then([&](const std::vector<std::byte>& bytes) {
            return parseKerasConfig({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, where);
        });
        if (parsed)
            described = std::move(*parsed);
        else
            warning = "The model's configuration is left out: " + describe(parsed.error()) + ".";
    }
    auto model = openWeights(*archive, *weights, stop).and_then([&](const Hdf5FilePointer& hdf5) {
        return readHdf5Model(hdf5, file->path(), stop, std::move(described));
    });
    if (model && warning)
        model->warnings.push_back(std::move(*warning));
    return model;
}

}  // namespace

extern const FileFormat keras;
const FileFormat keras {"keras", "Keras archive", "keras", matches, open};

}  // namespace quantloupe::file_formats
