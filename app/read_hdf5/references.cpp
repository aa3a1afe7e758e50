// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/read_hdf5/references.h"

#include "core/study/hdf5_handles.h"

namespace quantloupe::read_hdf5 {
namespace {

/// Different ones of a file.
constexpr std::size_t kMaxReferences = 65'536;

}  // namespace

void References::follow(hid_t place, hid_t type, const std::byte* value, const Subject& subject)
{
    if (H5Tdetect_class(type, H5T_REFERENCE) <= 0)
        return;
    switch (H5Tget_class(type)) {
    case H5T_REFERENCE:
        if (H5Tequal(type, H5T_STD_REF_OBJ) > 0)
            lookUp(place, H5R_OBJECT, value, sizeof(hobj_ref_t), subject);
        else
            lookUp(place, H5R_DATASET_REGION, value, sizeof(hdset_reg_ref_t), subject);
        break;
    case H5T_COMPOUND:
        for (int i = 0; i < H5Tget_nmembers(type); ++i) {
            const hdf5::Type member(H5Tget_member_type(type, static_cast<unsigned>(i)));
            follow(place, member.id(), value + H5Tget_member_offset(type, static_cast<unsigned>(i)), subject);
        }
        break;
    case H5T_ARRAY: {
        const hdf5::Type element(H5Tget_super(type));
        const auto each = H5Tget_size(element.id());
        for (std::size_t at = 0; at + each <= H5Tget_size(type); at += each)
            follow(place, element.id(), value + at, subject);
        break;
    }
    case H5T_VLEN: {
        const hdf5::Type element(H5Tget_super(type));
        hvl_t list {};
        std::copy_n(value, sizeof(list), reinterpret_cast<std::byte*>(&list));
        for (std::size_t i = 0; i < list.len; ++i)
            follow(place, element.id(), static_cast<const std::byte*>(list.p) + i * H5Tget_size(element.id()), subject);
        break;
    }
    default: break;
    }
}

void References::lookUp(hid_t place, H5R_type_t kind, const std::byte* at, std::size_t bytes, const Subject& subject)
{
    alignas(hobj_ref_t) Bytes reference {};
    std::copy_n(at, bytes, reference.begin());
    if (reference == Bytes {})
        return;  // to nothing, as fill values are
    if (m_known.size() >= kMaxReferences || !m_known.emplace(kind, reference).second)
        return;
    const hdf5::Handle<H5Oclose> found(H5Rdereference2(place, H5P_DEFAULT, kind, reference.data()));
    if (!found)
        subject.damaged("refers to what is not there");
    if (kind == H5R_DATASET_REGION && !hdf5::Space(H5Rget_region(place, kind, reference.data())))
        subject.damaged("refers to a region that is not there");
}

}  // namespace quantloupe::read_hdf5
