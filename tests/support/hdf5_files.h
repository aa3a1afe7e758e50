// SPDX-License-Identifier: GPL-3.0-or-later
// HDF5 files made by tests with the HDF5 library: valid ones, and ones with what readers refuse.
#pragma once

#include "core/study/hdf5_handles.h"

#include <QtGlobal>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace quantloupe::tests {

/// How a dataset is kept.
struct Hdf5Keeping {
    hid_t stored = H5T_IEEE_F32LE;   ///< type in the file
    std::vector<hsize_t> chunks {};  ///< contiguous when empty
    int deflate = -1;
    bool shuffle = false, fletcher32 = false, compact = false;
    bool written = true;  ///< otherwise space is never allocated
};

/// Writes one file and closes it with its destructor.
class Hdf5Builder
{
public:
    explicit Hdf5Builder(const std::filesystem::path& path, hsize_t userBlock = 0, bool latest = false)
    {
        const hdf5::PropertyList creation(H5Pcreate(H5P_FILE_CREATE)), access(H5Pcreate(H5P_FILE_ACCESS));
        H5Pset_userblock(creation.id(), userBlock);
        if (latest)
            H5Pset_libver_bounds(access.id(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
        m_file = hdf5::File(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.id(), access.id()));
        m_links = hdf5::PropertyList(H5Pcreate(H5P_LINK_CREATE));
        H5Pset_create_intermediate_group(m_links.id(), 1);
    }

    hid_t file() const { return m_file.id(); }

    /// `values` are of type `memory`.
    template<class Number>
    void dataset(const std::string& path, const std::vector<hsize_t>& shape, hid_t memory,
        const std::vector<Number>& values, const Hdf5Keeping& keeping = {}) const
    {
        const hdf5::PropertyList creation(H5Pcreate(H5P_DATASET_CREATE));
        if (!keeping.chunks.empty())
            H5Pset_chunk(creation.id(), static_cast<int>(keeping.chunks.size()), keeping.chunks.data());
        if (keeping.shuffle)
            H5Pset_shuffle(creation.id());
        if (keeping.deflate >= 0)
            H5Pset_deflate(creation.id(), static_cast<unsigned>(keeping.deflate));
        if (keeping.fletcher32)
            H5Pset_fletcher32(creation.id());
        if (keeping.compact)
            H5Pset_layout(creation.id(), H5D_COMPACT);
        create(path, shape, keeping.stored, creation.id(), [&](hid_t made) {
            if (keeping.written)
                H5Dwrite(made, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
        });
    }

    void floats(const std::string& path, const std::vector<hsize_t>& shape, const std::vector<float>& values,
        const Hdf5Keeping& keeping = {}) const
    {
        dataset(path, shape, H5T_NATIVE_FLOAT, values, keeping);
    }

    /// A dataset by a creation list of the caller's, not written.
    void bare(const std::string& path, const std::vector<hsize_t>& shape, hid_t type, hid_t creation) const
    {
        create(path, shape, type, creation, [](hid_t) {});
    }

    void group(const std::string& path) const
    {
        const hdf5::Group made(H5Gcreate2(file(), path.c_str(), m_links.id(), H5P_DEFAULT, H5P_DEFAULT));
    }

    /// Texts of fixed length, padded with zeros, as NumPy's.
    void texts(const std::string& object, const std::string& name, const std::vector<std::string>& texts) const
    {
        std::size_t longest = 1;
        for (const auto& text : texts)
            longest = std::max(longest, text.size());
        std::string bytes;
        for (const auto& text : texts)
            bytes += text + std::string(longest - text.size(), '\0');
        const hdf5::Type type(H5Tcopy(H5T_C_S1));
        H5Tset_size(type.id(), longest);
        H5Tset_strpad(type.id(), H5T_STR_NULLPAD);
        const hsize_t count = texts.size();
        const hdf5::Space space(H5Screate_simple(1, &count, nullptr));
        attribute(object, name, type.id(), space.id(), bytes.data());
    }

    /// One text of variable length, as Python's.
    void text(const std::string& object, const std::string& name, const std::string& value) const
    {
        const hdf5::Type type(H5Tcopy(H5T_C_S1));
        H5Tset_size(type.id(), H5T_VARIABLE);
        H5Tset_cset(type.id(), H5T_CSET_UTF8);
        const hdf5::Space space(H5Screate(H5S_SCALAR));
        const char* pointer = value.c_str();
        attribute(object, name, type.id(), space.id(), &pointer);
    }

private:
    template<class Write>
    void create(
        const std::string& path, const std::vector<hsize_t>& shape, hid_t type, hid_t creation, Write write) const
    {
        const hdf5::Space space(shape.empty()
                ? H5Screate(H5S_SCALAR)
                : H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr));
        const hdf5::Dataset made(
            H5Dcreate2(file(), path.c_str(), type, space.id(), m_links.id(), creation, H5P_DEFAULT));
        if (!made)
            qFatal("test data set %s cannot be created", path.c_str());
        write(made.id());
    }

    void attribute(const std::string& object, const std::string& name, hid_t type, hid_t space, const void* value) const
    {
        const hdf5::Handle<H5Oclose> owner(H5Oopen(file(), object.c_str(), H5P_DEFAULT));
        const hdf5::Attribute made(H5Acreate2(owner.id(), name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT));
        H5Awrite(made.id(), type, value);
    }

    hdf5::File m_file;
    hdf5::PropertyList m_links;
};

}  // namespace quantloupe::tests
