// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/read_hdf5/attributes.h"

#include "app/read_hdf5/refusal.h"

#include "core/study/hdf5_handles.h"

#include <cstring>

namespace quantloupe::read_hdf5 {
namespace {

/// Texts of fixed length end at their first zero, or fill their place.
std::vector<std::string> cut(const std::vector<char>& bytes, std::size_t each)
{
    std::vector<std::string> texts;
    for (std::size_t begin = 0; begin + each <= bytes.size(); begin += each)
        texts.emplace_back(bytes.data() + begin, ::strnlen(bytes.data() + begin, each));
    return texts;
}

std::vector<std::string> readVariable(hid_t attribute, hid_t type, hid_t space, std::size_t count)
{
    std::vector<char*> pointers(count, nullptr);
    if (H5Aread(attribute, type, pointers.data()) < 0)
        throw libraryRefusal("an attribute cannot be read");
    std::vector<std::string> texts;
    std::size_t total = 0;
    for (const char* text : pointers) {
        total += text == nullptr ? 0 : std::strlen(text);
        if (total > kHdf5MaxText)
            throw Refusal {ErrorCode::Unsupported, "an attribute holds more than 64 MiB of text"};
        texts.emplace_back(text == nullptr ? "" : text);
    }
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
    return texts;
}

bool send(hid_t group, const std::string& path, const std::string& name, Answer& answer)
{
    const auto exists = H5Aexists(group, name.c_str());
    if (exists < 0)
        throw libraryRefusal("the attributes of group '/" + path + "' cannot be read");
    if (exists == 0)
        return false;
    const auto texts = textsOf(group, name.c_str());
    RecordBytes record;
    record.text(path).text(name).u64(texts.size());
    for (const auto& text : texts)
        record.text(text);
    answer.send(Hdf5Record::Attribute, record.bytes());
    return true;
}

}  // namespace

std::vector<std::string> textsOf(hid_t object, const char* name)
{
    const hdf5::Attribute attribute(H5Aopen(object, name, H5P_DEFAULT));
    const hdf5::Type type(attribute ? H5Aget_type(attribute.id()) : H5I_INVALID_HID);
    const hdf5::Space space(attribute ? H5Aget_space(attribute.id()) : H5I_INVALID_HID);
    if (!type || !space)
        throw libraryRefusal(std::string("attribute '") + name + "' cannot be opened");
    const auto points = H5Sget_simple_extent_npoints(space.id());
    if (points <= 0 || H5Tget_class(type.id()) != H5T_STRING)
        return {};
    const auto count = static_cast<std::size_t>(points);
    const auto each = H5Tget_size(type.id());
    if (each == 0 || count > kHdf5MaxText / each)
        throw refusal(ErrorCode::Unsupported, "attribute", name, "holds more than 64 MiB");
    if (H5Tis_variable_str(type.id()) > 0)
        return readVariable(attribute.id(), type.id(), space.id(), count);
    std::vector<char> bytes(count * each);
    if (H5Aread(attribute.id(), type.id(), bytes.data()) < 0)
        throw libraryRefusal(std::string("attribute '") + name + "' cannot be read");
    return cut(bytes, each);
}

void sendKerasAttributes(hid_t group, const std::string& path, Answer& answer)
{
    if (path.empty())
        for (const auto* name : {"keras_version", "backend", "model_config", "quantloupe_study"})
            send(group, path, name, answer);
    // What does not fit one attribute is continued in those numbered from 0.
    for (const std::string name : {"layer_names", "weight_names"})
        if (!send(group, path, name, answer))
            for (std::size_t i = 0; i < kHdf5MaxObjects && send(group, path, name + std::to_string(i), answer); ++i) { }
}

}  // namespace quantloupe::read_hdf5
