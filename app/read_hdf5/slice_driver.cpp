// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/read_hdf5/slice_driver.h"

#include <cerrno>
#include <new>

#include <unistd.h>

namespace quantloupe::read_hdf5 {
namespace {

/// The library's view of an open file, and ours behind it.
struct OpenSlice {
    H5FD_t common {};  // must come first: the library knows only this part
    Slice slice {};
    haddr_t allocated = 0;  ///< "end of allocation", which the library keeps here
};

OpenSlice* ours(H5FD_t* file)
{
    return reinterpret_cast<OpenSlice*>(file);
}

const OpenSlice* ours(const H5FD_t* file)
{
    return reinterpret_cast<const OpenSlice*>(file);
}

H5FD_t* open(const char*, unsigned flags, hid_t access, haddr_t)
{
    const auto* slice = static_cast<const Slice*>(H5Pget_driver_info(access));
    if (slice == nullptr || (flags & H5F_ACC_RDWR) != 0)
        return nullptr;
    auto* file = new (std::nothrow) OpenSlice;
    if (file == nullptr)
        return nullptr;
    file->slice = *slice;
    return &file->common;
}

herr_t close(H5FD_t* file)
{
    delete ours(file);
    return 0;
}

herr_t query(const H5FD_t*, unsigned long* flags)
{
    if (flags != nullptr)
        *flags = H5FD_FEAT_DATA_SIEVE;
    return 0;
}

haddr_t endOfAllocation(const H5FD_t* file, H5FD_mem_t)
{
    return ours(file)->allocated;
}

herr_t setEndOfAllocation(H5FD_t* file, H5FD_mem_t, haddr_t end)
{
    ours(file)->allocated = end;
    return 0;
}

haddr_t endOfFile(const H5FD_t* file, H5FD_mem_t)
{
    return ours(file)->slice.size;
}

herr_t read(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, size_t size, void* buffer)
{
    const auto& slice = ours(file)->slice;
    if (address > slice.size || size > slice.size - address)
        return -1;
    auto* out = static_cast<char*>(buffer);
    auto offset = slice.begin + address;
    while (size > 0) {
        const auto got = ::pread(slice.descriptor, out, size, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        out += got;
        offset += static_cast<std::uint64_t>(got);
        size -= static_cast<std::size_t>(got);
    }
    return 0;
}

herr_t write(H5FD_t*, H5FD_mem_t, hid_t, haddr_t, size_t, const void*)
{
    return -1;
}

}  // namespace

hdf5::File openSlice(const Slice& slice)
{
    static const H5FD_class_t driver = [] {
        H5FD_class_t made {};  // member by member: later versions of the library have more of them
#if H5_VERSION_GE(1, 13, 2)
        made.version = H5FD_CLASS_VERSION;
        made.value = 512;  // the library keeps those below 256, registered drivers those below 512
#endif
        made.name = "slice";
        made.maxaddr = static_cast<haddr_t>(INT64_MAX);
        made.fc_degree = H5F_CLOSE_WEAK;
        made.fapl_size = sizeof(Slice);
        made.open = open;
        made.close = close;
        made.query = query;
        made.get_eoa = endOfAllocation;
        made.set_eoa = setEndOfAllocation;
        made.get_eof = endOfFile;
        made.read = read;
        made.write = write;
        return made;
    }();
    // Never closed: that would forget why the file could not be opened.
    static const hdf5::PropertyList access(H5Pcreate(H5P_FILE_ACCESS));
    const hid_t registered = H5FDregister(&driver);
    if (!access || registered < 0 || H5Pset_driver(access.id(), registered, &slice) < 0)
        return {};
    return hdf5::File(H5Fopen("slice", H5F_ACC_RDONLY, access.id()));
}

}  // namespace quantloupe::read_hdf5
