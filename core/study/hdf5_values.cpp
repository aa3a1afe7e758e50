// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/hdf5_values.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace quantloupe::hdf5 {
namespace {

/// Fixed-length UTF-8 text padded with zeros: plain for every reader, and no pointer into a heap that could lie.
Type textType(std::size_t bytes)
{
    Type type(H5Tcopy(H5T_C_S1));
    H5Tset_size(type.id(), std::max<std::size_t>(bytes, 1));
    H5Tset_strpad(type.id(), H5T_STR_NULLPAD);
    H5Tset_cset(type.id(), H5T_CSET_UTF8);
    return type;
}

std::string unpadded(const char* text, std::size_t width)
{
    while (width > 0 && text[width - 1] == '\0')
        --width;
    return {text, width};
}

bool writeTextAttribute(hid_t object, const char* name, const std::string& text)
{
    const auto type = textType(text.size());
    const Space space(H5Screate(H5S_SCALAR));
    const Attribute attribute(H5Acreate2(object, name, type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT));
    // An empty text still occupies one byte.
    const std::string padded = text.empty() ? std::string(1, '\0') : text;
    return attribute && H5Awrite(attribute.id(), type.id(), padded.data()) >= 0;
}

hid_t createGroup(hid_t parent, const char* path)
{
    const PropertyList creation(H5Pcreate(H5P_GROUP_CREATE));
    H5Pset_obj_track_times(creation.id(), false);  // the same results make the same file
    return H5Gcreate2(parent, path, H5P_DEFAULT, creation.id(), H5P_DEFAULT);
}

}  // namespace

GroupWriter::GroupWriter(hid_t parent, const char* path)
    : m_group(std::string_view(path) == "/" ? H5Gopen2(parent, path, H5P_DEFAULT) : createGroup(parent, path))
    , m_good(bool(m_group))
{
}

void GroupWriter::attribute(const char* name, const std::string& text)
{
    m_good = m_good && writeTextAttribute(m_group.id(), name, text);
}

void GroupWriter::attribute(const char* name, std::uint64_t number)
{
    if (!m_good)
        return;
    const Space space(H5Screate(H5S_SCALAR));
    const Attribute attribute(H5Acreate2(m_group.id(), name, H5T_NATIVE_UINT64, space.id(), H5P_DEFAULT, H5P_DEFAULT));
    m_good = attribute && H5Awrite(attribute.id(), H5T_NATIVE_UINT64, &number) >= 0;
}

void GroupWriter::texts(const char* name, const std::vector<std::string>& values, Meaning meaning)
{
    std::size_t width = 1;
    for (const auto& value : values)
        width = std::max(width, value.size());
    std::vector<char> padded(width * values.size());
    for (std::size_t i = 0; i < values.size(); ++i)
        std::memcpy(padded.data() + i * width, values[i].data(), values[i].size());
    const auto type = textType(width);
    write(name, type.id(), padded.data(), {values.size()}, meaning);
}

void GroupWriter::write(const char* name, hid_t type, const void* data, std::vector<hsize_t> extents, Meaning meaning)
{
    if (!m_good)
        return;
    const Space space(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr));
    const PropertyList creation(H5Pcreate(H5P_DATASET_CREATE));
    H5Pset_fill_time(creation.id(), H5D_FILL_TIME_NEVER);  // every byte is written anyway
    H5Pset_obj_track_times(creation.id(), false);          // as for groups
    const Dataset dataset(H5Dcreate2(m_group.id(), name, type, space.id(), H5P_DEFAULT, creation.id(), H5P_DEFAULT));
    const bool empty = std::find(extents.begin(), extents.end(), hsize_t {0}) != extents.end();
    m_good = dataset && (empty || H5Dwrite(dataset.id(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0)
        && (!*meaning.unit || writeTextAttribute(dataset.id(), "unit", meaning.unit))
        && (!*meaning.text || writeTextAttribute(dataset.id(), "meaning", meaning.text));
}

GroupReader::GroupReader(hid_t parent, std::string place, std::uint64_t fileBytes)
    : m_place(std::move(place))
    , m_fileBytes(fileBytes)
{
    // Hard links only: an external link would make us read another file.
    H5L_info_t link {};
    const bool root = m_place == "/";
    if (!root && (H5Lget_info(parent, m_place.c_str(), &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)) {
        fail("", "is missing");
        return;
    }
    m_group = Group(H5Gopen2(parent, m_place.c_str(), H5P_DEFAULT));
    if (!m_group)
        fail("", "is not a group");
}

void GroupReader::fail(const std::string& name, const std::string& reason)
{
    if (m_problem)
        return;
    const std::string separator = name.empty() || m_place.ends_with('/') ? "" : "/";
    m_problem = m_place + separator + name + ": " + reason;
}

bool GroupReader::hasAttribute(const char* name) const
{
    return good() && H5Aexists(m_group.id(), name) > 0;
}

bool GroupReader::hasDataset(const char* name) const
{
    return good() && H5Lexists(m_group.id(), name, H5P_DEFAULT) > 0;
}

std::string GroupReader::textAttribute(const char* name)
{
    if (!good())
        return {};
    const Attribute attribute(H5Aopen(m_group.id(), name, H5P_DEFAULT));
    const Type type(attribute ? H5Aget_type(attribute.id()) : H5I_INVALID_HID);
    const Space space(attribute ? H5Aget_space(attribute.id()) : H5I_INVALID_HID);
    if (!type || !space || H5Tget_class(type.id()) != H5T_STRING || H5Tis_variable_str(type.id()) != 0
        || H5Sget_simple_extent_npoints(space.id()) != 1 || H5Tget_size(type.id()) > m_fileBytes) {
        fail(name, "is not a text attribute");
        return {};
    }
    std::string text(H5Tget_size(type.id()), '\0');
    if (H5Aread(attribute.id(), type.id(), text.data()) < 0)
        fail(name, "cannot be read");
    return unpadded(text.data(), text.size());
}

std::uint64_t GroupReader::numberAttribute(const char* name)
{
    if (!good())
        return 0;
    const Attribute attribute(H5Aopen(m_group.id(), name, H5P_DEFAULT));
    const Type type(attribute ? H5Aget_type(attribute.id()) : H5I_INVALID_HID);
    const Space space(attribute ? H5Aget_space(attribute.id()) : H5I_INVALID_HID);
    std::uint64_t number = 0;
    if (!type || !space || H5Tequal(type.id(), H5T_NATIVE_UINT64) <= 0 || H5Sget_simple_extent_npoints(space.id()) != 1
        || H5Aread(attribute.id(), H5T_NATIVE_UINT64, &number) < 0)
        fail(name, "is not a number attribute");
    return number;
}

std::vector<std::string> GroupReader::texts(const char* name)
{
    Dataset dataset;
    Type type;
    std::vector<hsize_t> extents;
    const auto count = open(name, 1, H5T_STRING, dataset, type, extents);
    if (!count)
        return {};
    const auto width = H5Tget_size(type.id());
    std::vector<char> padded(static_cast<std::size_t>(*count) * width);  // bounded by the file's size in open()
    if (!readInto(dataset, type.id(), padded.data(), name))
        return {};
    std::vector<std::string> values(static_cast<std::size_t>(*count));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = unpadded(padded.data() + i * width, width);
    return values;
}

std::optional<std::uint64_t> GroupReader::open(
    const char* name, int rank, H5T_class_t kind, Dataset& dataset, Type& type, std::vector<hsize_t>& extents)
{
    if (!good())
        return std::nullopt;
    H5L_info_t link {};
    if (H5Lget_info(m_group.id(), name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD) {
        fail(name, "is missing");
        return std::nullopt;
    }
    dataset = Dataset(H5Dopen2(m_group.id(), name, H5P_DEFAULT));
    type = Type(dataset ? H5Dget_type(dataset.id()) : H5I_INVALID_HID);
    const Space space(dataset ? H5Dget_space(dataset.id()) : H5I_INVALID_HID);
    const PropertyList creation(dataset ? H5Dget_create_plist(dataset.id()) : H5I_INVALID_HID);
    if (!type || !space || !creation || H5Tget_class(type.id()) != kind
        || (kind == H5T_STRING && H5Tis_variable_str(type.id()) != 0) || H5Sget_simple_extent_ndims(space.id()) != rank
        || H5Pget_layout(creation.id()) != H5D_CONTIGUOUS || H5Pget_nfilters(creation.id()) != 0
        || H5Pget_external_count(creation.id()) != 0) {
        fail(name, "is not the plain dataset that the schema says");
        return std::nullopt;
    }
    extents.resize(static_cast<std::size_t>(rank));
    H5Sget_simple_extent_dims(space.id(), extents.data(), nullptr);
    const std::uint64_t elementBytes = H5Tget_size(type.id());
    std::uint64_t count = 1;
    bool sound = elementBytes != 0;
    for (const auto extent : extents) {
        sound = sound && (extent == 0 || count <= m_fileBytes / extent);
        count = sound ? count * extent : 0;
    }
    sound = sound
        && (count == 0
            || (elementBytes <= m_fileBytes / count && H5Dget_storage_size(dataset.id()) == count * elementBytes));
    if (!sound) {
        fail(name, "is larger than the file");
        return std::nullopt;
    }
    return count;
}

bool GroupReader::readInto(const Dataset& dataset, hid_t type, void* target, const char* name)
{
    const Space space(H5Dget_space(dataset.id()));
    if (H5Sget_simple_extent_npoints(space.id()) == 0)
        return true;
    if (H5Dread(dataset.id(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, target) >= 0)
        return true;
    fail(name, "cannot be read");
    return false;
}

}  // namespace quantloupe::hdf5
