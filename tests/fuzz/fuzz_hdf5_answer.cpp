// SPDX-License-Identifier: GPL-3.0-or-later
// What the program that reads HDF5 files answers when it asks for the list: it may have been taken over.
#include "core/base/helper_records.h"
#include "core/file_formats/hdf5_contents_reader.h"
#include "core/file_formats/hdf5_model.h"
#include "core/file_formats/model_assembly.h"
#include "tests/fuzz/memory_file.h"

#include <cstdlib>
#include <cstring>

using namespace quantloupe;

namespace {

const Hdf5FilePointer& someFile()
{
    static const std::vector<std::uint8_t> bytes(4'096, 'x');
    static const tests::MemoryFile memory(bytes.data(), bytes.size());
    static const auto file = [] {
        const auto map = MappedFile::open(memory.path());
        auto opened = map ? Hdf5File::open(*map, 0, bytes.size(), "model.h5") : nullptr;
        if (!opened)
            std::abort();
        return *opened;
    }();
    return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto& file = someFile();
    Hdf5ContentsReader reader(file->where(), file->map()->bytes(), 0);
    HelperRecordHeader header {};
    while (size >= sizeof header) {
        std::memcpy(&header, data, sizeof header);
        data += sizeof header;
        size -= sizeof header;
        if (header.bytes > size)
            return 0;
        const auto more = reader.take({header.kind, {reinterpret_cast<const std::byte*>(data), header.bytes}});
        if (!more)
            return 0;
        data += header.bytes;
        size -= header.bytes;
        if (*more)
            continue;
        auto model = hdf5ModelOf(reader.contents(), file, "model.h5");
        if (model && completeModel(*model))
            for (const auto& tensor : model->tensors)
                if (tensor.offset > file->map()->bytes().size()
                    || tensor.view.bytes.size() > file->map()->bytes().size() - tensor.offset)
                    std::abort();
        return 0;
    }
    return 0;
}
