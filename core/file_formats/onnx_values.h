// SPDX-License-Identifier: GPL-3.0-or-later
// The numbers of ONNX tensors: where they lie, whatever way they are stored. Source: interop notes, sections 4.3, 4.4.
#pragma once

#include "core/file_formats/file_format.h"
#include "core/file_formats/onnx_messages.h"

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace quantloupe {

/// Numbers that lie in the file one by one (float_data, int32_data, …): they are put together when asked for.
class OnnxTypedNumbers final : public DeferredBytes
{
public:
    struct Source {
        MappedFilePointer file;
        Bytes message;           ///< of the TensorProto
        std::uint32_t field;     ///< that holds them
        unsigned bytesPerEntry;  ///< the lowest bytes of each number count
        std::string name;        ///< of the tensor
    };
    OnnxTypedNumbers(Source source, std::uint64_t size);

    /// All at once, for what is small.
    Result<std::vector<std::byte>> unpacked() const;
    /// How many there are.
    static Result<std::uint64_t> count(const WireFile& file, Bytes message, std::uint32_t field);
    std::vector<Bytes> storedBytes() const override { return {m_source.message}; }

private:
    Result<void> produce(const ByteSink& sink, std::stop_token stop) const override;
    std::string where() const override;

    Source m_source;
};

/// The numbers of one tensor.
struct OnnxValues {
    DType dtype = DType::F32;
    Shape shape;
    Bytes bytes {};              ///< empty when deferred
    MappedFilePointer owner {};  ///< of bytes
    std::shared_ptr<const OnnxTypedNumbers> deferred {};
    std::uint32_t file = 0;    ///< into OnnxStorage::files()
    std::uint64_t offset = 0;  ///< in that file

    std::uint64_t size() const { return deferred ? deferred->size() : bytes.size(); }
};

/// Finds the numbers of tensors, opening the files that hold those stored outside.
class OnnxStorage
{
public:
    OnnxStorage(MappedFilePointer model, const WireFile& wire);

    /// nullopt for texts. Errors: Malformed (not as many as the shape says, a path that leads elsewhere), Unsupported
    /// (an element type nobody knows), Truncated, CannotOpen.
    Result<std::optional<OnnxValues>> find(const OnnxTensor& tensor);

    /// The model, then the files with external data.
    const std::vector<MappedFilePointer>& files() const { return m_files; }

private:
    Result<OnnxValues> findOutside(const OnnxTensor& tensor, OnnxValues values, std::uint64_t size);
    Result<OnnxValues> findTyped(const OnnxTensor& tensor, OnnxValues values, std::uint64_t size);

    const WireFile& m_wire;
    std::vector<MappedFilePointer> m_files;
    std::map<std::string, std::uint32_t, std::less<>> m_byLocation;
};

}  // namespace quantloupe
