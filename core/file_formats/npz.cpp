// SPDX-License-Identifier: GPL-3.0-or-later
// NumPy's .npz: a zip archive of arrays, stored or deflated. Source: interop notes, section 7.2.
#include "core/base/text.h"
#include "core/file_formats/model_assembly.h"
#include "core/file_formats/npy_header.h"
#include "core/file_formats/zip_archive.h"
#include "core/tensor/strided_rows.h"

#include <algorithm>

namespace quantloupe {
namespace file_formats {
namespace {

constexpr std::string_view kSuffix = ".npy";

bool matches(Bytes head)
{
    return firstZipMember(head).ends_with(kSuffix);
}

struct NpzMember {
    ModelTensor tensor;
    NpyHeader header;
};

Result<NpzMember> readMember(const ZipArchive& archive, const ZipEntry& entry)
{
    const auto& file = archive.file();
    const auto head = archive.unpackHead(entry, kMaxNpyHeader);
    if (!head)
        return tl::unexpected(head.error());
    const auto where = file->path().string() + ", member " + inQuotes(entry.name);
    const auto header = readNpyHeader(*head, entry.size, where, entry.offset);
    if (!header)
        return tl::unexpected(header.error());
    ModelTensor tensor;
    tensor.name = entry.name.substr(0, entry.name.size() - kSuffix.size());
    tensor.parts = readName(tensor.name);
    tensor.offset = entry.offset;
    tensor.view = {.dtype = header->dtype, .shape = header->shape, .owner = file};
    if (entry.deflated) {
        tensor.view.deferred = archive.deferred(entry, header->dataBegin);
    } else {
        tensor.view.bytes = archive.packedBytes(entry).subspan(header->dataBegin);
        tensor.offset += header->dataBegin;
    }
    return NpzMember {std::move(tensor), *header};
}

Result<Model> open(const MappedFilePointer& file, const std::stop_token& /*stop*/)
{
    const auto archive = ZipArchive::open(file);
    if (!archive)
        return tl::unexpected(archive.error());
    Model model;
    model.format = "npz";
    model.files.push_back(file->path());
    std::vector<std::string> others;
    std::vector<NpyHeader> headers;
    std::optional<Error> firstRefusal;
    for (const auto& entry : archive->entries()) {
        if (!entry.name.ends_with(kSuffix) || entry.name.size() == kSuffix.size()) {
            others.push_back(entry.name);
            continue;
        }
        auto member = readMember(*archive, entry);
        if (member) {
            model.tensors.push_back(std::move(member->tensor));
            headers.push_back(std::move(member->header));
        } else if (member.error().code == ErrorCode::Unsupported) {  // texts and the like among the weights
            others.push_back(entry.name);
            firstRefusal = firstRefusal.value_or(member.error());
        } else {
            return tl::unexpected(std::move(member.error()));
        }
    }
    if (model.tensors.empty() && firstRefusal)
        return tl::unexpected(std::move(*firstRefusal));
    if (model.tensors.empty())
        return failure(ErrorCode::NotThisFormat, file->path().string(), "the archive holds no NumPy array", 0);
    if (!others.empty())
        model.warnings.push_back("Members that are no arrays of numbers are left out: " + listed(others) + ".");
    applyConfigBeside(model, file->path().parent_path());
    for (std::size_t i = 0; i < headers.size(); ++i)
        setStrides(model.tensors[i].view, npyStrides(headers[i]), headers[i].swapped);
    return model;
}

}  // namespace

extern const FileFormat npz;
const FileFormat npz {"npz", "NumPy archive", "npz", matches, open};

}  // namespace file_formats
}  // namespace quantloupe
