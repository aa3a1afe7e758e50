// SPDX-License-Identifier: GPL-3.0-or-later
// NumPy's .npy: one array. Source: interop notes, section 7.1.
#include "core/base/text.h"
#include "core/file_formats/model_assembly.h"
#include "core/file_formats/npy_header.h"
#include "core/tensor/strided_rows.h"

#include <algorithm>

namespace quantloupe {
namespace file_formats {
namespace {

bool matches(Bytes head)
{
    return std::string_view(reinterpret_cast<const char*>(head.data()), head.size()).starts_with("\x93NUMPY");
}

Result<Model> open(const MappedFilePointer& file, const std::stop_token& /*stop*/)
{
    const auto bytes = file->bytes();
    const auto header = readNpyHeader(
        bytes.first(std::min<std::uint64_t>(kMaxNpyHeader, bytes.size())), bytes.size(), file->path().string(), 0);
    if (!header)
        return tl::unexpected(header.error());
    Model model;
    model.format = "npy";
    model.files.push_back(file->path());
    ModelTensor tensor;
    tensor.name = toValidUtf8(file->path().stem().string());  // it has no other name
    tensor.parts = readName(tensor.name);
    tensor.offset = header->dataBegin;
    tensor.view = {
        .dtype = header->dtype, .shape = header->shape, .bytes = bytes.subspan(header->dataBegin), .owner = file};
    setStrides(tensor.view, npyStrides(*header), header->swapped);
    model.tensors.push_back(std::move(tensor));
    return model;
}

}  // namespace

extern const FileFormat npy;
const FileFormat npy {"npy", "NumPy array", "npy", matches, open};

}  // namespace file_formats
}  // namespace quantloupe
