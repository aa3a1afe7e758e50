// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <hdf5.h>

#include <utility>

namespace quantloupe::hdf5 {

/// Owns one identifier of the HDF5 library and closes it with the function of its kind.
template<herr_t (*Close)(hid_t)>
class Handle
{
public:
    Handle() = default;
    explicit Handle(hid_t id)
        : m_id(id)
    {
    }
    Handle(Handle&& other) noexcept
        : m_id(std::exchange(other.m_id, H5I_INVALID_HID))
    {
    }
    Handle& operator=(Handle&& other) noexcept
    {
        std::swap(m_id, other.m_id);
        return *this;
    }
    ~Handle()
    {
        if (m_id >= 0)
            Close(m_id);
    }
    hid_t id() const { return m_id; }
    explicit operator bool() const { return m_id >= 0; }
    /// Closes now; false when the library could not, for instance because the disk is full.
    bool close() { return Close(std::exchange(m_id, H5I_INVALID_HID)) >= 0; }

private:
    hid_t m_id = H5I_INVALID_HID;
};

using File = Handle<H5Fclose>;
using Group = Handle<H5Gclose>;
using Dataset = Handle<H5Dclose>;
using Attribute = Handle<H5Aclose>;
using Space = Handle<H5Sclose>;
using Type = Handle<H5Tclose>;
using PropertyList = Handle<H5Pclose>;

/// While it lives, the library does not print its error stack: core never prints, and we report failures ourselves.
class QuietErrors
{
public:
    QuietErrors()
    {
        H5Eget_auto2(H5E_DEFAULT, &m_function, &m_data);
        H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    }
    QuietErrors(const QuietErrors&) = delete;
    QuietErrors& operator=(const QuietErrors&) = delete;
    ~QuietErrors() { H5Eset_auto2(H5E_DEFAULT, m_function, m_data); }

private:
    H5E_auto2_t m_function = nullptr;
    void* m_data = nullptr;
};

}  // namespace quantloupe::hdf5
