// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// @title Checkpoint anchor: which roots a publisher put on this chain for a log, and in which order
/// @notice A head is keyed by (publisher, origin). The publisher is the caller of `anchor`, so nobody else can write
/// it. The origin is the SHA-256 of the UTF-8 origin line of the log's checkpoints.
/// @dev Guarantees, for each head: the size never shrinks; a size has one root for ever; the sequence starts at 1 and
/// grows by exactly 1 with every change of the head. There is no owner, no upgrade and no way to delete.
/// Not guaranteed: that a root is of a tree that extends the one before it (no consistency proof is checked here), that
/// the tree has `size` leaves, or that anybody holds the leaves.
interface ICheckpointAnchor {
    /// @notice A head changed. The events of a (publisher, origin), by sequence, are its whole history.
    /// @param publisher The account that anchored
    /// @param origin SHA-256 of the log's origin line
    /// @param size Leaves in the tree
    /// @param sequence 1 for the first anchor of this head, one more for each later one
    /// @param root The tree's RFC 9162 root hash
    event Anchored(address indexed publisher, bytes32 indexed origin, uint64 size, uint64 sequence, bytes32 root);

    /// @notice The empty tree is not anchored
    error ZeroSize();

    /// @notice No tree has the zero root; zero means "nothing anchored" in `head`
    error ZeroRoot();

    /// @notice The head is already at a larger size
    /// @param anchored The head's size
    /// @param proposed The size asked for
    error SizeShrank(uint64 anchored, uint64 proposed);

    /// @notice The head has this size with another root: the log shows two histories, or two keepers share a publisher
    /// @param size The head's size, which is the size asked for
    /// @param anchored The head's root
    /// @param proposed The root asked for
    error RootChanged(uint64 size, bytes32 anchored, bytes32 proposed);

    /// @notice Makes (size, root) the caller's head for `origin`. Asking for the head it already has changes nothing,
    /// emits nothing and returns its sequence, so a transaction may be repeated safely.
    /// @param origin SHA-256 of the log's origin line
    /// @param size Leaves in the tree, at least 1 and not below the head's size
    /// @param root The tree's RFC 9162 root hash, not zero
    /// @return sequence The sequence of the head after the call
    function anchor(bytes32 origin, uint64 size, bytes32 root) external returns (uint64 sequence);

    /// @notice The newest anchored checkpoint; all zero if there is none
    /// @param publisher The account that anchored
    /// @param origin SHA-256 of the log's origin line
    /// @return size Leaves in the tree
    /// @return sequence How many times this head changed
    /// @return root The tree's RFC 9162 root hash
    function head(address publisher, bytes32 origin) external view returns (uint64 size, uint64 sequence, bytes32 root);
}
