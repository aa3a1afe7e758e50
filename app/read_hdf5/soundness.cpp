// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/read_hdf5/soundness.h"

#include "app/read_hdf5/refusal.h"

#include "core/file_formats/hdf5_records.h"
#include "core/study/hdf5_handles.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace quantloupe::read_hdf5 {
namespace {

constexpr std::size_t kMaxTypeDepth = 32;
/// Attributes are small; of datasets, only those whose references are followed are read here.
constexpr std::size_t kMaxValues = std::size_t {4} << 20;

bool fillsItsBits(hid_t type)
{
    const auto bits = 8 * H5Tget_size(type), used = H5Tget_precision(type);
    const int offset = H5Tget_offset(type);
    return used > 0 && offset >= 0 && used <= bits && static_cast<std::size_t>(offset) <= bits - used;
}

void checkType(hid_t type, const Subject& subject, std::size_t depth = 0);

void checkMembers(hid_t type, const Subject& subject, std::size_t depth)
{
    const auto whole = H5Tget_size(type);
    const int count = H5Tget_nmembers(type);
    for (int i = 0; i < count; ++i) {
        const auto member = static_cast<unsigned>(i);
        const hdf5::Type part(H5Tget_member_type(type, member));
        const auto offset = H5Tget_member_offset(type, member);
        if (!part || offset > whole || H5Tget_size(part.id()) > whole - offset)
            subject.damaged("has a type with a member outside of it");
        checkType(part.id(), subject, depth + 1);
    }
}

void checkType(hid_t type, const Subject& subject, std::size_t depth)
{
    if (depth > kMaxTypeDepth)
        subject.damaged("has a type nested too deeply");
    if (H5Tget_size(type) == 0)
        subject.damaged("has a type of no size");
    switch (H5Tget_class(type)) {
    case H5T_INTEGER:
    case H5T_FLOAT:
    case H5T_BITFIELD:
        if (!fillsItsBits(type))
            subject.damaged("has a number type whose bits lie outside of it");
        break;
    case H5T_REFERENCE:
        if (H5Tequal(type, H5T_STD_REF_OBJ) <= 0 && H5Tequal(type, H5T_STD_REF_DSETREG) <= 0)
            subject.damaged("has references of no known kind");
        break;
    case H5T_COMPOUND: checkMembers(type, subject, depth); break;
    case H5T_ENUM:
    case H5T_VLEN:
    case H5T_ARRAY: {
        const hdf5::Type underneath(H5Tget_super(type));
        if (!underneath)
            subject.damaged("has a type of elements that cannot be read");
        checkType(underneath.id(), subject, depth + 1);
        break;
    }
    case H5T_NO_CLASS: subject.damaged("has a type of no known kind");
    default: break;
    }
}

/// Reads all values, as they are stored, by `read(buffer)`, and follows their references. Skips what is large.
template<class Read>
void checkValues(hid_t place, hid_t type, hid_t space, References& references, const Subject& subject, const Read& read)
{
    const auto points = H5Sget_simple_extent_npoints(space);
    if (H5Tdetect_class(type, H5T_TIME) > 0)
        return;  // the library has nothing to read times as
    const auto each = H5Tget_size(type);
    const auto count = static_cast<std::size_t>(std::max<hssize_t>(points, 0));
    if (count == 0 || each == 0 || count > kMaxValues / each)
        return;
    std::vector<std::byte> values(count * each);
    if (read(values.data()) < 0)
        subject.unreadable("cannot be read");
    if (H5Tdetect_class(type, H5T_REFERENCE) > 0)
        for (std::size_t i = 0; i < count; ++i)
            references.follow(place, type, values.data() + i * each, subject);
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, values.data());
}

void checkShape(hid_t space, const Subject& subject)
{
    std::array<hsize_t, H5S_MAX_RANK> extents {}, most {};
    const int rank = H5Sget_simple_extent_dims(space, extents.data(), most.data());
    if (rank < 0 || H5Sget_simple_extent_npoints(space) < 0)
        subject.damaged("has a shape that cannot be read");
    for (std::size_t i = 0; i < static_cast<std::size_t>(rank); ++i)
        if (most[i] != H5S_UNLIMITED && extents[i] > most[i])
            subject.damaged("has a shape larger than it may grow");
}

/// Of a dataset with fixed extents: the library makes no chunk larger than it.
void checkChunks(hid_t dataset, hid_t space, const Subject& subject)
{
    const hdf5::PropertyList creation(H5Dget_create_plist(dataset));
    if (!creation || H5Pget_layout(creation.id()) != H5D_CHUNKED)
        return;
    std::array<hsize_t, H5S_MAX_RANK> extents {}, most {}, chunks {};
    const int rank = H5Sget_simple_extent_dims(space, extents.data(), most.data());
    if (rank < 0 || H5Pget_chunk(creation.id(), rank, chunks.data()) != rank)
        subject.damaged("has chunks of another shape");
    for (std::size_t i = 0; i < static_cast<std::size_t>(rank); ++i)
        if (extents[i] != 0 && most[i] != H5S_UNLIMITED && chunks[i] > std::max(most[i], extents[i]))
            subject.damaged("has chunks larger than it may grow");
}

herr_t takeName(hid_t, const char* name, const H5A_info_t*, void* data)
{
    auto& names = *static_cast<std::vector<std::string>*>(data);
    if (names.size() >= kHdf5MaxObjects)
        return -1;
    names.emplace_back(name);
    return 0;
}

}  // namespace

void SoundnessChecks::checkAttributes(hid_t object, const std::string& path)
{
    std::vector<std::string> names;
    hsize_t next = 0;
    if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, &next, takeName, &names) < 0) {
        if (names.size() >= kHdf5MaxObjects)
            throw refusal(ErrorCode::Unsupported, "object", "/" + path, "has more than a million attributes");
        throw libraryRefusal("the attributes of '/" + path + "' cannot be read");
    }
    for (const auto& name : names) {
        const hdf5::Attribute attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT));
        const hdf5::Type type(attribute ? H5Aget_type(attribute.id()) : H5I_INVALID_HID);
        const hdf5::Space space(attribute ? H5Aget_space(attribute.id()) : H5I_INVALID_HID);
        if (!type || !space)
            throw libraryRefusal("an attribute of '/" + path + "' cannot be opened");
        const auto shown = "/" + path + "@" + name;
        const Subject subject {"attribute", shown};
        checkType(type.id(), subject);
        checkShape(space.id(), subject);
        checkValues(object, type.id(), space.id(), m_references, subject,
            [&](void* values) { return H5Aread(attribute.id(), type.id(), values); });
    }
}

void SoundnessChecks::checkNamedType(hid_t type, const std::string& path)
{
    checkType(type, {"type", path});
}

void SoundnessChecks::checkDataset(hid_t dataset, const std::string& path)
{
    const hdf5::Type type(H5Dget_type(dataset));
    const hdf5::Space space(H5Dget_space(dataset));
    if (!type || !space)
        throw libraryRefusal("dataset '" + path + "' cannot be opened");
    const Subject subject {"dataset", path};
    checkType(type.id(), subject);
    checkShape(space.id(), subject);
    checkChunks(dataset, space.id(), subject);
    if (H5Tdetect_class(type.id(), H5T_REFERENCE) > 0)
        checkValues(dataset, type.id(), space.id(), m_references, subject,
            [&](void* values) { return H5Dread(dataset, type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values); });
}

}  // namespace quantloupe::read_hdf5
