// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/hdf5_model.h"

namespace quantloupe::file_formats {
namespace {

bool matches(Bytes head)
{
    return findHdf5(head).has_value();
}

Result<Model> open(const MappedFilePointer& file, const std::stop_token& stop)
{
    return Hdf5File::open(file, 0, file->bytes().size(), file->path().string())
        .and_then([&](const Hdf5FilePointer& hdf5) { return readHdf5Model(hdf5, file->path(), stop); });
}

}  // namespace

extern const FileFormat hdf5;
const FileFormat hdf5 {"hdf5", "HDF5 and Keras weights", "h5 hdf5", matches, open};

}  // namespace quantloupe::file_formats
