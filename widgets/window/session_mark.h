// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QString>

#include <memory>

class QLockFile;

/// A file that says which model a running window has open. It goes when the window closes; one that is left behind
/// tells the next start what was open when the program died. Several windows each have their own.
class SessionMark final
{
public:
    explicit SessionMark(const QString& folder);
    ~SessionMark();  ///< removes the mark

    /// Empty: nothing is open, nothing is to be offered after a crash.
    void setModel(const QString& path);

    /// The model of the newest mark that no running program owns; empty when there is none. Removes all such marks, so
    /// that a crash is offered once.
    static QString takeCrashed(const QString& folder);

private:
    QString m_path;  // of the mark; a lock of the same name lies beside it
    std::unique_ptr<QLockFile> m_lock;
};
